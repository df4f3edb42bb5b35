//! `pingpong`: packets through two engines and the CPU by pointer. The dummy engine plays a network card: it writes a packet into memory; the zip engine
//! reads it there and writes the compressed packet; the CPU looks at that where it lies; zip unpacks it, and the card sends it.
//!
//! All of them have the process's one address space. Nothing is mapped between the stages, nothing is copied by the CPU, and while the card fetches
//! the next packet the zip engine has this one.

use core::fmt::{self, Write};

use hal::Iova;
use uacce_abi::{Counters, Errno, Fd};
use uacce_user::{
    CompletionWait, CopyError, CopyQueue, Direction, Library, WdError, ZipError, ZipQueue, compress_one_shot, decompress_one_shot,
};
use zip_spec::{Container, Window};

use crate::{AppSystem, Console, text};

/// Packets of a round.
const PACKETS: usize = 64;
/// Bytes of a packet.
const PACKET_BYTES: usize = 4096;
/// Room for a compressed packet: it may not shrink.
const PACKED_BYTES: usize = 8192;

/// Polls without ever entering the kernel.
const POLL: CompletionWait = CompletionWait { spins: u32::MAX, timeout_nanoseconds: 0 };

/// Why the packets did not get through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Kernel(Errno),
    Card(CopyError),
    Zip(ZipError),
    /// What was sent is not what had come in.
    NotEqual {
        packet: usize,
    },
    /// The compressed packet does not begin as it must.
    NotPacked {
        packet: usize,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(errno) => write!(f, "the kernel refused: {errno}"),
            Self::Card(CopyError::Queue(WdError::NoDevice)) => f.write_str("no device copies memory (--device dummy)"),
            Self::Card(error) => write!(f, "card: {error:?}"),
            Self::Zip(error) => write!(f, "zip: {error}"),
            Self::NotEqual { packet } => write!(f, "packet {packet} is not what came in"),
            Self::NotPacked { packet } => write!(f, "packet {packet} is not a zlib stream"),
        }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

impl From<ZipError> for Failure {
    fn from(error: ZipError) -> Self {
        Self::Zip(error)
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        Self::Card(error)
    }
}

/// Runs the program; returns its exit code.
pub fn run_pingpong<S: AppSystem>(system: &S) -> i32 {
    let mut console = Console::new(system, Fd::STDOUT);
    match rounds(system, &mut console) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(console, "pingpong: {failure}");
            1
        }
    }
}

/// The queues of a round: of two devices, in one address space.
struct Queues<'s, S: AppSystem> {
    card: CopyQueue<'s, S>,
    pack: ZipQueue<'s, S>,
    unpack: ZipQueue<'s, S>,
}

/// The memory of a round, a piece for each packet and stage.
struct Memory {
    /// What comes in from outside.
    wire_in: &'static mut [u8],
    received: &'static mut [u8],
    packed: &'static mut [u8],
    unpacked: &'static mut [u8],
    /// What goes out.
    wire_out: &'static mut [u8],
}

fn rounds<S: AppSystem>(system: &S, console: &mut Console<'_, S>) -> Result<(), Failure> {
    let mut queues = Queues {
        card: CopyQueue::request(system, &Library::ALL, POLL).map_err(CopyError::Queue)?,
        pack: ZipQueue::request(system, Container::Zlib, Direction::Compress, POLL).map_err(ZipError::Queue)?,
        unpack: ZipQueue::request(system, Container::Zlib, Direction::Decompress, POLL).map_err(ZipError::Queue)?,
    };
    let memory = |len_bytes: usize| system.take_memory(PACKETS * len_bytes);
    let mut memory = Memory {
        wire_in: memory(PACKET_BYTES)?,
        received: memory(PACKET_BYTES)?,
        packed: memory(PACKED_BYTES)?,
        unpacked: memory(PACKET_BYTES)?,
        wire_out: memory(PACKET_BYTES)?,
    };
    for (round, name) in ["first", "second"].into_iter().enumerate() {
        text::fill(memory.wire_in, round as u64 + 1);
        memory.wire_out.fill(0);
        let before = system.counters()?;
        let packed_bytes = round_trip(&mut queues, &mut memory)?;
        let during = system.counters()?.since(&before);
        for (packet, (sent, came)) in pieces(memory.wire_out).zip(pieces(memory.wire_in)).enumerate() {
            if sent != came {
                return Err(Failure::NotEqual { packet });
            }
        }
        report(console, name, packed_bytes, &during);
    }
    Ok(())
}

fn pieces(of: &[u8]) -> impl Iterator<Item = &[u8]> {
    of.chunks_exact(PACKET_BYTES)
}

fn report<S: AppSystem>(console: &mut Console<'_, S>, name: &str, packed_bytes: usize, during: &Counters) {
    let _ = writeln!(
        console,
        "{name} round: {PACKETS} packets of {PACKET_BYTES} bytes, card > zip > CPU > zip > card, {packed_bytes} bytes packed; \
         device page faults {}, system calls {}",
        during.device_page_faults,
        // The query that ends the interval is one.
        during.system_calls - 1,
    );
}

/// Takes every packet through all stages; returns their bytes when compressed.
fn round_trip<S: AppSystem>(queues: &mut Queues<'_, S>, memory: &mut Memory) -> Result<usize, Failure> {
    let Queues { card, pack, unpack } = queues;
    let address = |of: &[u8]| Iova(of.as_ptr().expose_provenance() as u64);
    let arrives = |card: &mut CopyQueue<'_, S>, memory: &mut Memory, packet: usize| {
        let at = packet * PACKET_BYTES;
        let into = Iova(memory.received[at..].as_mut_ptr().expose_provenance() as u64);
        card.start(address(&memory.wire_in[at..]), into, PACKET_BYTES as u32)
    };
    let mut total = 0;
    arrives(card, memory, 0).map_err(CopyError::Queue)?;
    for packet in 0..PACKETS {
        let at = packet * PACKET_BYTES;
        card.finish()?;
        if packet + 1 < PACKETS {
            arrives(card, memory, packet + 1).map_err(CopyError::Queue)?;
        }
        // The engine is given the address that the card has written to.
        let packed = &mut memory.packed[packet * PACKED_BYTES..][..PACKED_BYTES];
        let len = compress_one_shot(pack, Container::Zlib, Window::K32, &memory.received[at..][..PACKET_BYTES], packed)?;
        let packed = &packed[..len];
        // The CPU's turn: a look at what the engine has written, where it lies.
        if !packed.starts_with(Container::Zlib.header()) || len < 8 {
            return Err(Failure::NotPacked { packet });
        }
        total += len;
        decompress_one_shot(unpack, Container::Zlib, packed, &mut memory.unpacked[at..][..PACKET_BYTES])?;
    }
    for packet in 0..PACKETS {
        let at = packet * PACKET_BYTES;
        let (from, to) = (&memory.unpacked[at..][..PACKET_BYTES], &mut memory.wire_out[at..][..PACKET_BYTES]);
        card.copy(from, to)?;
    }
    Ok(total)
}
