//! The silicon's trace as text: one line per record, registers and commands by the names that the specs give them.

use super::complaint::{Complaint, Outcome};
use super::ram::GuestRam;
use super::registers::Names;
use firmware_platform::trace::{Counter, HeaderWord, Kind, MAGIC, RECORD_BYTES, RECORDS_OFFSET, Record, VERSION};
use firmware_platform::{TRACE_BASE, TRACE_BYTES};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes what the silicon recorded to a file.
///
/// # Errors
/// The image left no trace, or one of another layout; the file cannot be written.
pub fn write(ram: &GuestRam, path: &Path) -> Outcome<()> {
    let header = Header::read(ram)?;
    let failed = |error: std::io::Error| Complaint::io(format!("cannot write {}", path.display()), &error);
    let mut out = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    let mut names = Names::default();
    let mut bytes = vec![0; header.records as usize * RECORD_BYTES];
    ram.read(TRACE_BASE + RECORDS_OFFSET as u64, &mut bytes)?;
    for (index, record) in bytes.chunks_exact(RECORD_BYTES).enumerate() {
        let Ok(bytes) = record.try_into() else { continue };
        writeln!(out, "{index:>7} {}", line(&Record::from_bytes(bytes), &mut names)).map_err(failed)?;
    }
    for (counter, name) in Counter::ALL {
        writeln!(out, "# {name} {}", header.words[HeaderWord::Counters as usize + counter as usize]).map_err(failed)?;
    }
    writeln!(out, "# hash {:#018x}, {} records, {} lost", header.word(HeaderWord::Hash), header.records, header.word(HeaderWord::Lost))
        .map_err(failed)?;
    out.flush().map_err(failed)
}

/// What the silicon has counted, on one line. Empty memory (no EL2 row) has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    accesses: u64,
    requests: u64,
    hash: u64,
}

impl Summary {
    /// Reads it from guest memory.
    ///
    /// # Errors
    /// The image left no trace.
    pub fn read(ram: &GuestRam) -> Outcome<Self> {
        let header = Header::read(ram)?;
        let count = |counter: Counter| header.words[HeaderWord::Counters as usize + counter as usize];
        let blocks = [Counter::SmmuAccesses, Counter::ConfigAccesses, Counter::BarAccesses, Counter::OtherAccesses];
        let accesses = blocks.map(count).iter().sum();
        Ok(Self { accesses, requests: count(Counter::JobsDone), hash: header.word(HeaderWord::Hash) })
    }

    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.requests
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accesses, requests, hash } = self;
        write!(f, "trace: {accesses} trapped accesses, {requests} requests with their entries, hash {hash:#018x}")
    }
}

struct Header {
    words: Vec<u64>,
    records: u64,
}

impl Header {
    fn read(ram: &GuestRam) -> Outcome<Self> {
        let mut bytes = vec![0; RECORDS_OFFSET];
        ram.read(TRACE_BASE, &mut bytes)?;
        let words = bytes.chunks_exact(8).map(|word| word.try_into().map(u64::from_le_bytes).unwrap_or_default()).collect();
        let mut header = Self { words, records: 0 };
        if header.word(HeaderWord::Magic) != MAGIC {
            return Err(Complaint::new("the silicon left no trace: the image has no EL2 row here, or did not get that far"));
        }
        if header.word(HeaderWord::Version) != VERSION {
            return Err(Complaint::new(format!("the trace has layout {}, the runner knows {VERSION}", header.word(HeaderWord::Version))));
        }
        // The counts come from the guest: more than fits is not believed.
        let fit = (TRACE_BYTES as usize - RECORDS_OFFSET) / RECORD_BYTES;
        header.records = header.word(HeaderWord::Written).min(fit as u64);
        Ok(header)
    }

    fn word(&self, word: HeaderWord) -> u64 {
        self.words[word as usize]
    }
}

/// Spells one record.
fn line(record: &Record, names: &mut Names) -> String {
    let Record { address, value, extra, .. } = *record;
    let digits = usize::from(record.bytes()) * 2 + 2;
    let what = match record.kind() {
        Some(Kind::Load) => format!("load   {} -> {value:#0digits$x}", names.of(address)),
        Some(Kind::Store) => {
            let text = format!("store  {} <- {value:#0digits$x}", names.of(address));
            names.follow(address, value);
            text
        }
        Some(Kind::StorePair) => format!("store  {} <- {value:#018x} {extra:#018x}", names.of(address)),
        Some(Kind::Abort) => format!("abort  {} syndrome {value:#x}", names.of(address)),
        Some(Kind::Line) => format!("line   INTID {address}"),
        Some(Kind::Message) => format!("msi    INTID {address}"),
        Some(Kind::Job) => format!("job    queue {address} slot {extra}"),
        Some(Kind::JobDone) => format!("done   queue {address}"),
        Some(Kind::Stall) => format!("stall  stream {address:#x} tag {value:#x}"),
        Some(Kind::Resume) => {
            let verdict = ["retry", "abort", "read zero, write ignore"].get(extra as usize).unwrap_or(&"?");
            format!("resume stream {address:#x} tag {value:#x}: {verdict}")
        }
        Some(Kind::CoreOn) => format!("core   {address} on at {value:#x}"),
        Some(Kind::SmmuCommand) => format!("smmu   {}", command([value, extra])),
        Some(Kind::SmmuEvent) => format!("event  {}", event([value, extra, address, 0])),
        Some(Kind::SmmuEventLost) => format!("event  lost {}", event([value, extra, address, 0])),
        Some(Kind::SmmuCommandError) => format!("smmu   command queue stopped at slot {extra}: error {value:#x}"),
        None => format!("record of unknown kind: {record:x?}"),
    };
    format!("core {} EL{} {what}", record.core(), record.level())
}

/// Spells a command by the specification's name, then its operands.
fn command(words: [u64; 2]) -> String {
    let command = smmu_spec::command::Command(words);
    let Some(name) = command.opcode().name() else { return format!("unknown command {:#018x} {:#018x}", words[0], words[1]) };
    let operation = format!("{:?}", command.decode());
    let operands = operation.find(['{', '(']).map_or("", |at| &operation[at..]);
    format!("CMD_{name} {operands}").trim_end().to_owned()
}

/// Spells an event record: who, what, where, and the tag if it stalls. The fourth word is not in the trace.
fn event(words: [u64; 4]) -> String {
    let record = smmu_spec::event::EventRecord(words);
    let substream = record.substream().map_or(String::new(), |substream| format!(" substream {:#x}", substream.0));
    let access = if record.is_read() { "read" } else { "write" };
    let stall = record.stall().map_or(String::new(), |tag| format!(" stall tag {:#x}", tag.stag));
    format!("{:?} stream {:#x}{substream} {access} {:#x}{stall}", record.id(), record.stream().0, record.input_address())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, bytes: u8, words: [u64; 3]) -> String {
        let record = Record { meta: Record::meta(kind, bytes, 1, 0), address: words[0], value: words[1], extra: words[2] };
        line(&record, &mut Names::default())
    }

    #[test]
    fn accesses_are_named() {
        assert_eq!(text(Kind::Store, 4, [0x20_0000_0020, 0xd, 0]), "core 0 EL1 store  smmu SMMU_CR0 <- 0x0000000d");
        assert_eq!(text(Kind::Load, 4, [0x20_1000_8000, 0xa250_19e5, 0]), "core 0 EL1 load   config 00:01.0+0x0 -> 0xa25019e5");
    }

    #[test]
    fn commands_are_decoded() {
        // CMD_SYNC: opcode 0x46 in bits 7:0 (IHI 0070, 4.7.3).
        assert!(text(Kind::SmmuCommand, 0, [0, 0x46, 0]).contains("CMD_SYNC"));
        // CMD_RESUME: opcode 0x44, action retry in bit 12, StreamID in bits 63:32; STAG in the second word.
        assert!(text(Kind::SmmuCommand, 0, [0, 0x8_0000_1044, 3]).contains("CMD_RESUME { stream: StreamId(0x00000008), stag: 3"));
        assert!(text(Kind::SmmuCommand, 0, [0, 0xff, 0]).contains("unknown command"));
        // A stalled read of 0x7000: spec's golden record.
        let golden = [0x7000, 0x0000_0008_0000_5810, 0x0000_0208_8000_1234];
        assert!(text(Kind::SmmuEvent, 0, golden).ends_with("F_TRANSLATION stream 0x8 substream 0x5 read 0x7000 stall tag 0x1234"));
        assert!(text(Kind::Resume, 0, [8, 3, 1]).ends_with("stream 0x8 tag 0x3: abort"));
    }

    #[test]
    fn memory_without_a_trace_is_refused() {
        let ram = GuestRam::new().expect("a memfd");
        assert!(Header::read(&ram).is_err());
    }
}
