//! The access trace, written where `firmware_platform::trace` says.
//!
//! Every call is made under the big lock, which orders the records; the words are atomics only so that a slip of that rule is no undefined
//! behaviour.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use firmware_platform::trace::{
    COUNTERS, Counter, HASH_BASIS, HASH_PRIME, HeaderWord, Kind, MAGIC, RECORD_BYTES, RECORDS_OFFSET, Record, VERSION,
};
use firmware_platform::{TRACE_BASE, TRACE_BYTES};
use smmu_model::{SmmuModel, Trace};

/// The header as EL2 holds it.
type Header = [AtomicU64; HeaderWord::Counters as usize + COUNTERS];

/// True if records are kept.
#[inline(always)]
pub fn keeps_records() -> bool {
    header()[HeaderWord::Level as usize].load(Relaxed) != 0
}

#[inline(always)]
fn header() -> &'static Header {
    // SAFETY: the trace area is mapped read-write for EL2 only, for ever, and lies outside the image; this file is the only one to touch it.
    unsafe { &*core::ptr::with_exposed_provenance::<Header>(TRACE_BASE as usize) }
}

/// Counts one.
#[inline(always)]
pub fn count(counter: Counter) {
    let word = &header()[HeaderWord::Counters as usize + counter as usize];
    word.store(word.load(Relaxed) + 1, Relaxed);
}

/// Writes an empty header; records are kept from level 1 on.
pub fn begin(level: u32) {
    for word in header() {
        word.store(0, Relaxed);
    }
    let set = |word: HeaderWord, value: u64| header()[word as usize].store(value, Relaxed);
    set(HeaderWord::Version, VERSION);
    set(HeaderWord::Capacity, ((TRACE_BYTES as usize - RECORDS_OFFSET) / RECORD_BYTES) as u64);
    set(HeaderWord::Hash, HASH_BASIS);
    set(HeaderWord::Level, u64::from(level));
    set(HeaderWord::Magic, MAGIC);
}

/// Folds words into the running hash.
#[inline(always)]
fn fold(words: impl IntoIterator<Item = u64>) {
    let slot = &header()[HeaderWord::Hash as usize];
    let hash = words.into_iter().fold(slot.load(Relaxed), |hash, word| (hash ^ word).wrapping_mul(HASH_PRIME));
    slot.store(hash, Relaxed);
}

/// Folds a request's entry into the hash, as the engine got it or as it gives it back. What was in the data shows in the latter's counts and
/// checksum, so runs over different data have different hashes even where every trapped access is alike.
pub fn entry(sqe: &[u32; 32]) {
    let (pairs, _) = sqe.as_chunks::<2>();
    fold(pairs.iter().map(|[low, high]| u64::from(*low) | u64::from(*high) << 32));
}

/// Notes a trapped access: hash, counter, and a record if kept. `meta` is [`Record::meta`].
#[inline(always)]
pub fn access(block: Counter, meta: u64, address: u64, value: u64, extra: u64) {
    access_unrecorded(block, meta, address, value);
    if keeps_records() {
        append(meta, address, value, extra);
    }
}

/// Notes a trapped access while no records are kept.
#[inline(always)]
pub fn access_unrecorded(block: Counter, meta: u64, address: u64, value: u64) {
    fold([meta, address, value]);
    count(block);
}

/// Counts something and records it if records are kept.
pub fn note(counter: Option<Counter>, kind: Kind, address: u64, value: u64, extra: u64) {
    if let Some(counter) = counter {
        count(counter);
    }
    if keeps_records() {
        append(Record::meta(kind, 0, 2, crate::state::core_index()), address, value, extra);
    }
}

/// Records what the SMMU model did since the last call, and what software did against its rules.
pub fn smmu_steps(smmu: &mut SmmuModel) {
    while let Some(violation) = smmu.take_violation() {
        count(Counter::Violations);
        defmt::warn!("a rule of the SMMU is broken: {=str}", violation.clause());
    }
    if !keeps_records() {
        return;
    }
    while let Some(step) = smmu.take_trace() {
        match step {
            Trace::Command(command) => note(None, Kind::SmmuCommand, 0, command.0[0], command.0[1]),
            Trace::CommandError { cerror, index } => note(None, Kind::SmmuCommandError, 0, u64::from(cerror), u64::from(index)),
            Trace::Event(event) => note(None, Kind::SmmuEvent, event.0[2], event.0[0], event.0[1]),
            Trace::EventLost(event) => note(None, Kind::SmmuEventLost, event.0[2], event.0[0], event.0[1]),
            // The request that waits notes the stall itself.
            Trace::Stalled(_) => {}
        }
    }
}

/// Reads a counter by its number.
pub fn counter(index: u64) -> Option<u64> {
    let index = usize::try_from(index).ok().filter(|i| *i < COUNTERS)?;
    Some(header()[HeaderWord::Counters as usize + index].load(Relaxed))
}

/// The running hash.
pub fn hash() -> u64 {
    header()[HeaderWord::Hash as usize].load(Relaxed)
}

#[cold]
fn append(meta: u64, address: u64, value: u64, extra: u64) {
    let at = header()[HeaderWord::Written as usize].load(Relaxed);
    if at >= header()[HeaderWord::Capacity as usize].load(Relaxed) {
        let lost = &header()[HeaderWord::Lost as usize];
        lost.store(lost.load(Relaxed) + 1, Relaxed);
        return;
    }
    let to = core::ptr::with_exposed_provenance_mut::<[u64; 4]>(TRACE_BASE as usize + RECORDS_OFFSET + at as usize * RECORD_BYTES);
    // SAFETY: `at` is below the capacity, so the record lies in the trace area.
    unsafe { to.write_volatile([meta, address, value, extra]) };
    header()[HeaderWord::Written as usize].store(at + 1, Relaxed);
}
