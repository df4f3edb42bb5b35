//! Every call in every state by every caller, in every profile: what it answers, and that a refusal changes nothing. The table is written to
//! `docs/uacce/errors.md` with `UACCE_DOCS=write`.

use super::fakes::{DUS_BYTES, FakeDevice, FakeSpaces, Log, MMIO_BYTES, Shared};
use hal::{QueueError, Va};
use std::fmt::Write;
use std::rc::Rc;
use uacce_abi::{Command, Errno, FileRegion, NodeIndex};
use uacce_kernel::{Allocated, Interface, Profile, QueueHandle, QueueState, Readiness, Registered, SpaceId, Uacce};

const OWNER: SpaceId = SpaceId(1);
const STRANGER: SpaceId = SpaceId(2);
const NODE: NodeIndex = NodeIndex(0);

/// Where a queue can stand when a call comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    Init,
    Started,
    /// The stop failed.
    Stuck,
    /// The device was removed.
    Removed,
}

const STATES: [Before; 4] = [Before::Init, Before::Started, Before::Stuck, Before::Removed];

/// A call, as the columns of the table have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    Start,
    Put,
    Context,
    Info,
    Physical,
    Unknown,
    Map(FileRegion),
    MapAgain(FileRegion),
    Unmap,
    Share,
    Poll,
    Close,
}

const CALLS: [(Call, &str); 16] = [
    (Call::Start, "`START_Q`"),
    (Call::Put, "`PUT_Q`"),
    (Call::Context, "`SET_QP_CTX`"),
    (Call::Info, "`SET_QP_INFO`, cut short"),
    (Call::Physical, "`GET_SS_DMA`, SS mapped if there is one"),
    (Call::Unknown, "unknown command"),
    (Call::Map(FileRegion::Mmio), "map MMIO"),
    (Call::Map(FileRegion::Dus), "map DUS"),
    (Call::Map(FileRegion::Ss), "map SS"),
    (Call::Map(FileRegion::Dko), "map DKO"),
    (Call::MapAgain(FileRegion::Dus), "map DUS, mapped before"),
    (Call::MapAgain(FileRegion::Ss), "map SS, mapped before"),
    (Call::Unmap, "unmap DUS"),
    (Call::Share, "`SHARE_SVAS` with an own queue, SS mapped if there is one"),
    (Call::Poll, "poll"),
    (Call::Close, "close"),
];

struct Machine {
    uacce: Uacce<Shared, 1, 8>,
    spaces: FakeSpaces,
    device: Rc<FakeDevice>,
    log: Log,
    registered: Option<Registered>,
}

impl Machine {
    fn new(profile: Profile) -> Self {
        let log = Log::default();
        let (device, spaces) = (FakeDevice::new(&log, 4), FakeSpaces::with_profile(&log, profile));
        let mut uacce = Uacce::new();
        let allocated = Allocated::new(Interface::new("hisi_zip").unwrap(), Shared(device.clone()));
        let registered = Some(uacce.register(allocated, &spaces).expect("a node"));
        Self { uacce, spaces, device, log, registered }
    }

    fn ioctl(&mut self, queue: QueueHandle, caller: SpaceId, command: Command, len: usize) -> Result<&'static str, Errno> {
        self.uacce.ioctl(queue, caller, command, &mut [0; 16][..len]).map(|()| "0")
    }

    fn map(&mut self, queue: QueueHandle, caller: SpaceId, region: FileRegion) -> Result<Va, Errno> {
        let len = match region {
            FileRegion::Mmio => MMIO_BYTES,
            FileRegion::Dus => DUS_BYTES,
            FileRegion::Ss | FileRegion::Dko => 0x2000,
        };
        self.uacce.map(queue, caller, region, len, &mut self.spaces)
    }

    /// Brings a queue where the call finds it; `mapped` is a region that is mapped before.
    fn queue(&mut self, before: Before, mapped: Option<FileRegion>) -> (QueueHandle, Option<Va>) {
        let queue = self.uacce.open(NODE, OWNER, &mut self.spaces).expect("open");
        let at = mapped.and_then(|region| self.map(queue, OWNER, region).ok());
        if before != Before::Init {
            self.ioctl(queue, OWNER, Command::START_Q, 0).expect("start");
        }
        match before {
            Before::Init | Before::Started => {}
            Before::Stuck => {
                self.device.stop.set(Err(QueueError::TimedOut));
                self.ioctl(queue, OWNER, Command::PUT_Q, 0).expect_err("it does not stop");
            }
            Before::Removed => {
                let registered = self.registered.take().expect("once");
                self.uacce.remove(registered, &mut self.spaces).expect("removed");
            }
        }
        (queue, at)
    }

    fn answer(
        &mut self,
        queue: QueueHandle,
        other: QueueHandle,
        at: Option<Va>,
        caller: SpaceId,
        call: Call,
    ) -> Result<&'static str, Errno> {
        match call {
            Call::Start => self.ioctl(queue, caller, Command::START_Q, 0),
            Call::Put => self.ioctl(queue, caller, Command::PUT_Q, 0),
            Call::Context => self.ioctl(queue, caller, Command::SET_QP_CTX, 4),
            Call::Info => self.ioctl(queue, caller, Command::SET_QP_INFO, 15),
            Call::Physical => self.ioctl(queue, caller, Command::GET_SS_DMA, 8),
            Call::Unknown => self.ioctl(queue, caller, Command(0x5777), 0),
            Call::Map(region) | Call::MapAgain(region) => self.map(queue, caller, region).map(|_| "address"),
            Call::Unmap => self.uacce.unmap(queue, caller, at.unwrap_or(Va(0x1000)), DUS_BYTES, &mut self.spaces).map(|()| "0"),
            Call::Share => self.uacce.share(queue, other, caller).map(|()| "0"),
            Call::Poll => self.uacce.poll(queue, caller).map(|readiness| match readiness {
                Readiness::Quiet => "quiet",
                Readiness::Readable => "readable",
                Readiness::Error => "error",
            }),
            Call::Close => self.uacce.close(queue, caller, &mut self.spaces).map(|()| "0"),
        }
    }
}

/// Plays one case on a machine of its own.
fn play(profile: Profile, before: Before, call: Call, caller: SpaceId) -> Result<&'static str, Errno> {
    let mut m = Machine::new(profile);
    let other = m.uacce.open(NODE, OWNER, &mut m.spaces).expect("open");
    let mapped = match call {
        Call::MapAgain(region) => Some(region),
        Call::Physical | Call::Share => Some(FileRegion::Ss),
        Call::Unmap => Some(FileRegion::Dus),
        _ => None,
    };
    let (queue, at) = m.queue(before, mapped);
    m.log.take();
    let (state, instances) = (m.uacce.state(queue, OWNER), m.device.free.borrow().len());
    let answer = m.answer(queue, other, at, caller, call);
    if answer.is_err() {
        assert_eq!(m.uacce.state(queue, OWNER), state, "{profile:?} {before:?} {call:?} {caller:?}: a refusal moves nothing");
        assert_eq!(m.device.free.borrow().len(), instances);
        let log = m.log.take();
        assert!(log.is_empty(), "{profile:?} {before:?} {call:?} {caller:?}: a refusal reaches no port: {log:?}");
    }
    // Whatever was answered, the number is dead after a close, for everybody.
    let close = m.uacce.close(queue, OWNER, &mut m.spaces);
    assert_eq!(close.is_ok(), !(call == Call::Close && caller == OWNER), "{before:?} {call:?}");
    for stale in [OWNER, STRANGER] {
        assert_eq!(m.answer(queue, other, at, stale, call), Err(Errno::EBADF), "{before:?} {call:?}");
    }
    answer
}

fn spelled(answer: Result<&'static str, Errno>) -> String {
    match answer {
        Ok(word) => word.into(),
        Err(errno) => {
            let name = Errno::ALL.iter().find(|(known, _)| *known == errno).map(|(_, name)| *name);
            format!("`{}`", name.unwrap_or("?"))
        }
    }
}

fn document() -> String {
    let mut out = String::from(
        "# What each call answers\n\nGenerated from the core itself: `UACCE_DOCS=write cargo test --target host-tuple -p host-tests errno_table`. \
         Every case runs on a core of its own, and a\nrefusal is seen to change nothing: no state, no instance, no call of a port. INIT and STARTED are \
         the states of a living queue; ZOMBIE is one\nwhose stop failed, or whose device was removed.\n\nA caller from another address space gets \
         `EACCES` from every call in every state. A handle that was closed gives `EBADF`, to everybody.\n",
    );
    for profile in Profile::ALL {
        let _ = write!(
            out,
            "\n## {profile:?} (flags {})\n\n| call | INIT | STARTED | ZOMBIE, stuck | ZOMBIE, removed |\n|---|---|---|---|---|\n",
            profile.flags()
        );
        for (call, name) in CALLS {
            let _ = write!(out, "| {name} |");
            for before in STATES {
                let _ = write!(out, " {} |", spelled(play(profile, before, call, OWNER)));
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn ua_l02_l8_o23_every_call_in_every_state_is_in_the_errno_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/uacce/errors.md");
    let document = document();
    if std::env::var_os("UACCE_DOCS").is_some_and(|word| word == "write") {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/uacce")).expect("a directory");
        std::fs::write(path, &document).expect("docs/uacce/errors.md is writable");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == document, "docs/uacce/errors.md is stale: run with UACCE_DOCS=write");
}

/// A few rows by hand, so that the table is not only what the core happens to say.
#[test]
fn errno_table_by_hand() {
    use Before::{Init, Removed, Started, Stuck};
    let expected: [(Call, [Result<&str, Errno>; 4]); 7] = [
        (Call::Start, [Ok("0"), Err(Errno::EINVAL), Err(Errno::ENXIO), Err(Errno::ENXIO)]),
        (Call::Put, [Ok("0"), Ok("0"), Err(Errno::ENXIO), Err(Errno::ENXIO)]),
        (Call::Map(FileRegion::Dus), [Ok("address"), Ok("address"), Err(Errno::ENXIO), Err(Errno::ENXIO)]),
        (Call::MapAgain(FileRegion::Dus), [Err(Errno::EEXIST), Err(Errno::EEXIST), Err(Errno::ENXIO), Err(Errno::ENXIO)]),
        (Call::Unknown, [Err(Errno::EINVAL), Err(Errno::EINVAL), Err(Errno::ENXIO), Err(Errno::ENXIO)]),
        (Call::Poll, [Ok("quiet"), Ok("quiet"), Ok("error"), Ok("error")]),
        (Call::Close, [Ok("0"); 4]),
    ];
    for profile in Profile::ALL {
        for (call, answers) in expected {
            for (before, answer) in [Init, Started, Stuck, Removed].into_iter().zip(answers) {
                assert_eq!(play(profile, before, call, OWNER), answer, "{profile:?} {before:?} {call:?}");
            }
        }
    }
}

#[test]
fn ua_k1_p04_a_stranger_is_refused_every_call_in_every_state() {
    for profile in Profile::ALL {
        for before in STATES {
            for (call, _) in CALLS {
                assert_eq!(play(profile, before, call, STRANGER), Err(Errno::EACCES), "{profile:?} {before:?} {call:?}");
            }
        }
    }
    assert_eq!(QueueState::Zombie as u8, 0);
}
