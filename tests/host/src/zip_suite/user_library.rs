//! One library, several user drivers; and memory for devices that do not share the process's address space.

use super::user_device::*;
use std::any::TypeId;
use std::mem::discriminant;
use uacce_abi::{FileRegion, NodeIndex};
use uacce_user::{
    CompletionWait, CopyDriver, CopyError, CopyQueue, Direction, Library, QueueFormat, RingEntry, Sharing, UserDriver, Wanted, WdError,
    WdQueue, ZipDriver, ZipQueue, compress_one_shot, wd_recv, wd_request_queue, wd_reserve_memory, wd_send, wd_share_reserved_memory,
};
use zip_spec::{Container, Sqe, Window};

/// An entry of another engine: half as long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
struct Echo([u32; 16]);

impl RingEntry for Echo {
    const BYTES: usize = 64;
    const ZERO: Self = Self([0; 16]);

    fn words(&self) -> &[u32] {
        &self.0
    }
    fn words_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

/// The other engine's driver.
struct EchoDriver;

impl UserDriver for EchoDriver {
    fn name(&self) -> &'static str {
        "echo"
    }
    fn format_of(&self, api: &str) -> Option<QueueFormat> {
        // Doorbells as the zip engine has them; only the entries differ.
        if api == "echo_v1" { ZipDriver.format_of("hisi_qm_v3") } else { None }
    }
    fn serves(&self, algorithm: &str) -> bool {
        algorithm == "echo"
    }
    fn entry(&self) -> TypeId {
        TypeId::of::<Echo>()
    }
}

const BOTH: Library<'static> = Library::new(&[&ZipDriver, &EchoDriver]);
const ECHO: Wanted<'static> = Wanted { algorithm: "echo", direction: Direction::Compress };
const GZIP: Wanted<'static> = Wanted { algorithm: "gzip", direction: Direction::Compress };

/// A gap, a zip node, an echo node.
fn two_engines(nodes: &mut Vec<Node>) {
    let zip = nodes[0].clone();
    nodes[0].api = "";
    nodes.push(zip.clone());
    nodes.push(Node { api: "echo_v1", algorithms: "echo", ..zip });
}

#[test]
fn ua_a3_u9_each_of_two_drivers_finds_its_own_node() {
    let mock = Mock::with(16, two_engines);
    let chosen = |library: Library<'static>, algorithm| library.choose(&mock, algorithm).map(|chosen| (chosen.driver.name(), chosen.node));
    assert_eq!(chosen(BOTH, "gzip"), Ok(("zip", NodeIndex(1))));
    assert_eq!(chosen(BOTH, "echo"), Ok(("echo", NodeIndex(2))));
    // A driver that the application does not bring drives nothing, whatever nodes there are.
    assert_eq!(chosen(Library::ZIP, "echo"), Err(WdError::NoDevice));
    assert_eq!(chosen(Library::new(&[&EchoDriver]), "gzip"), Err(WdError::NoDevice));
    assert_eq!(mock.take_log(), [], "nothing was opened");
    // Entries of one engine never reach a queue of the other.
    assert_eq!(BOTH.request::<_, Sqe>(&mock, &ECHO).err(), Some(WdError::NoDevice));
    assert_eq!(BOTH.request::<_, Echo>(&mock, &GZIP).err(), Some(WdError::NoDevice));
    assert!(BOTH.request::<_, Sqe>(&mock, &GZIP).is_ok());
    assert_eq!(mock.take_log()[0], Did::Open(1));
}

#[test]
fn ua_a3_a5_a_queue_of_another_format_takes_its_own_entries() {
    let mock = Mock::of_entries(64, 4, two_engines);
    let mut queue: WdQueue<'_, Mock, Echo> = BOTH.request(&mock, &ECHO).expect("a queue");
    assert_eq!(mock.take_log()[0], Did::Open(2));
    let mut answer = Echo::ZERO;
    for round in 0..10_u32 {
        let mut entry = Echo(std::array::from_fn(|word| word as u32 + 100 * round));
        entry.0[7] = 0x3000_0000;
        wd_send(&mut queue, &entry).unwrap();
        wd_recv(&mut queue, &mut answer).unwrap();
        assert_eq!((answer.0[0], answer.0[1]), (round + 1, entry.0[4]));
        assert_eq!(answer.0[4..], entry.0[4..], "and what the device does not write is as it was");
    }
    // The zip driver's entries are twice as long as this device's.
    assert!(matches!(BOTH.request::<_, Sqe>(&mock, &GZIP), Err(WdError::BadLayout { sqe_bytes: 64, .. })));
}

/// A request carries the caller's own addresses, bit for bit: the library translates nothing, and a device that shares the address space finds the
/// data behind them.
#[test]
fn ua_o21_a_request_carries_the_processs_own_addresses() {
    let mock = Mock::zip_in_place();
    let mut queue =
        ZipQueue::request(&mock, Container::Raw, Direction::Compress, CompletionWait { spins: 4, timeout_nanoseconds: 0 }).unwrap();
    let input = super::rig::text(3000, 3);
    let mut output = vec![0; 4000];
    let len = compress_one_shot(&mut queue, Container::Raw, Window::K32, &input, &mut output).unwrap();
    let sent = mock.state.fetched.borrow()[0];
    let source = sent.pair(zip_spec::dw::SOURCE_LOW);
    let destination = sent.pair(zip_spec::dw::DESTINATION_LOW);
    assert_eq!((source, destination), (input.as_ptr().addr() as u64, output.as_ptr().addr() as u64));
    assert!(len > 0 && len < input.len() && output[..len].iter().any(|byte| *byte != 0));
    // Neither did it ask anybody: open, set, map, start, and no call after that.
    let asked = [Did::Open(0), Did::Start, Did::Poll(0)].map(|did| mock.count(|done| discriminant(done) == discriminant(&did)));
    assert_eq!(asked, [1, 1, 0]);
}

/// A device can go between two looks at it: the next one that fits is taken.
#[test]
fn a_node_that_goes_while_it_is_looked_at_is_passed_over() {
    let goes: [fn(&mut Node); 3] = [|node| node.algorithms = "", |node| node.flags = "", |node| node.instances = ""];
    for goes in goes {
        let mock = Mock::with(16, |nodes| {
            nodes.push(nodes[0].clone());
            goes(&mut nodes[0]);
        });
        assert!(wd_request_queue(&mock, &GZIP).is_ok());
        assert_eq!(mock.take_log()[0], Did::Open(1));
    }
}

fn node_with(flags: &'static str) -> Mock {
    Mock::with(16, |nodes| nodes[0].flags = flags)
}

#[test]
fn ua_u7_memory_is_reserved_as_the_profile_has_it() {
    let cases = [
        ("1", Sharing::Sva, Did::Memory(0x3000), SS_AT),
        ("4", Sharing::Reserved, Did::Reserve(FileRegion::Ss, 0x3000), SS_AT),
        ("0", Sharing::Reserved, Did::Reserve(FileRegion::Ss, 0x3000), SS_AT),
        ("2", Sharing::Physical, Did::Reserve(FileRegion::Ss, 0x3000), SS_PHYSICAL),
    ];
    for (flags, sharing, did, device) in cases {
        let mock = node_with(flags);
        let queue: WdQueue<'_, Mock> = Library::ZIP.with_reserved_memory().request(&mock, &GZIP).unwrap();
        assert_eq!(queue.sharing(), sharing);
        mock.take_log();
        let reserved = wd_reserve_memory(&queue, 0x2001).unwrap();
        assert_eq!(mock.take_log(), [did], "flags {flags}");
        assert_eq!((reserved.address(), reserved.len_bytes()), (SS_AT, 0x3000));
        assert_eq!(reserved.for_device(0x10, 0x2ff0).map(|at| at.0), Some(device + 0x10));
        assert_eq!([reserved.for_device(0x10, 0x2ff1), reserved.for_device(u64::MAX, 2)], [None; 2]);
        // Who has not said that reserved memory will do is not given such a device.
        assert_eq!(Library::ZIP.request::<_, Sqe>(&mock, &GZIP).err(), (sharing != Sharing::Sva).then_some(WdError::NoSva));
    }
}

/// A slice has an address of the process's: what a device without those would write is anybody's.
#[test]
fn slices_are_copied_only_where_addresses_are_shared() {
    for flags in ["4", "0", "2"] {
        let mock = Mock::of_entries(32, 4, |nodes| {
            (nodes[0].api, nodes[0].algorithms, nodes[0].flags) = (dummy_spec::API, CopyDriver::ALGORITHM, flags);
        });
        let wait = CompletionWait { spins: 4, timeout_nanoseconds: 0 };
        let mut queue = CopyQueue::request(&mock, &Library::ALL.with_reserved_memory(), wait).expect("a queue");
        assert_eq!(queue.copy(&[1; 8], &mut [0; 8]), Err(CopyError::Queue(WdError::NoSva)), "flags {flags}");
        assert!(mock.state.fetched.borrow().is_empty());
    }
}

#[test]
fn ua_u8_reserved_memory_is_shared_by_a_call_where_it_takes_one() {
    for (flags, calls) in [("1", vec![]), ("4", vec![Did::Share(3, 3)])] {
        let mock = node_with(flags);
        let library = Library::ZIP.with_reserved_memory();
        let (first, second) = (library.request::<_, Sqe>(&mock, &GZIP).unwrap(), library.request::<_, Sqe>(&mock, &GZIP).unwrap());
        wd_reserve_memory(&first, 4096).unwrap();
        mock.take_log();
        assert_eq!(wd_share_reserved_memory(&first, &second), Ok(()));
        assert_eq!(mock.take_log(), calls);
    }
}
