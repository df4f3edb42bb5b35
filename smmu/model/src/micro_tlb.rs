//! Translations at the DMA ports: hits that take no lock.
//!
//! A model is one value behind its owner's lock. A DMA port that works beside others keeps copies of the latest answers in a [`MicroTlb`] of
//! its own and asks the model only when they do not serve. [`Ports`] is all that the ports and the model share: a generation, which every
//! configuration and TLB invalidation raises, and what each port has under way.
//!
//! CMD_SYNC promises that accesses which used an old translation have been performed. So a port announces the generation of the copy that
//! it is about to use, and only then looks whether that generation still stands; the model raises the generation, and only then looks at the
//! announcements. One of the two sees the other: either the port finds its copy void, or CMD_SYNC waits until the port has left.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use hal::{IrqLines, Pa, PhysMemory};

use crate::model::SmmuModel;
use crate::translate::{Fault, Transaction, Translated};

/// Ports that one model can have.
pub const PORTS: usize = 16;

/// How often CMD_SYNC looks before it stays in the queue until the next [`SmmuModel::step`].
const LOOKS: u32 = 1 << 16;

/// Identifies a requester; `None` if its SubstreamID has more than 20 bits.
#[inline]
pub(crate) fn requester_key(who: &hal::Requester) -> Option<u64> {
    let low = match who.substream {
        None => 1,
        Some(ssid) if ssid.0 >> 20 == 0 => u64::from(ssid.0) + 2,
        Some(_) => return None,
    };
    Some(u64::from(who.stream.0) << 32 | low)
}

/// One answer: of this requester, page, direction and privilege.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    key: u64,
    /// Page, direction and privilege in one number.
    access: u64,
    /// Another generation than the model's: void. Never 0 in use.
    generation: u64,
    /// Output page, shareability in 9:8, attributes in 7:0.
    answer: u64,
}

impl Line {
    pub const EMPTY: Self = Self { key: 0, access: 0, generation: 0, answer: 0 };

    #[inline]
    pub fn new(key: u64, tx: &Transaction, generation: u64, translated: &Translated) -> Self {
        let answer = translated.pa.0 & !0xfff | u64::from(translated.shareability) << 8 | u64::from(translated.attributes);
        Self { key, access: access(tx), generation, answer }
    }

    #[inline]
    pub fn is_of(&self, key: u64, tx: &Transaction) -> bool {
        self.key == key && self.access == access(tx)
    }

    #[inline]
    pub fn serves(&self, key: u64, tx: &Transaction, generation: u64) -> bool {
        self.is_of(key, tx) && self.generation == generation
    }

    #[inline]
    pub fn translated(&self, tx: &Transaction) -> Translated {
        Translated {
            pa: Pa(self.answer & !0xfff | tx.iova.0 & 0xfff),
            attributes: self.answer as u8,
            shareability: (self.answer >> 8) as u8 & 3,
        }
    }

    /// Where an answer stands among `1 << n` lines, before the mask.
    #[inline]
    pub fn place(key: u64, tx: &Transaction) -> usize {
        ((tx.iova.0 >> 12) ^ key.wrapping_mul(0x25) ^ key >> 29) as usize
    }
}

#[inline]
fn access(tx: &Transaction) -> u64 {
    tx.iova.0 & !0xfff | (tx.kind as u64) << 1 | u64::from(tx.who.privileged)
}

/// What one port has under way: the generation of the copy in use, 0 for nothing. On a cache line of its own.
#[repr(align(128))]
struct UnderWay(AtomicU64);

/// What the ports of one SMMU and its model tell each other without a lock.
pub struct Ports {
    generation: AtomicU64,
    /// One bit per open port.
    open: AtomicU32,
    under_way: [UnderWay; PORTS],
}

impl Default for Ports {
    fn default() -> Self {
        Self::new()
    }
}

impl Ports {
    /// No port is open, no model attached.
    pub const fn new() -> Self {
        Self { generation: AtomicU64::new(1), open: AtomicU32::new(0), under_way: [const { UnderWay(AtomicU64::new(0)) }; PORTS] }
    }

    /// Opens a port with `LINES` copies, a power of two; `None` if [`PORTS`] are open. Dropping the port closes it.
    pub fn open<const LINES: usize>(&self) -> Option<MicroTlb<'_, LINES>> {
        const { assert!(LINES.is_power_of_two(), "lines are selected by a mask") };
        let place = |open: u32| Some(open | 1 << (!open).trailing_zeros()).filter(|next| next >> PORTS == 0);
        let open = self.open.fetch_update(Ordering::Acquire, Ordering::Relaxed, place).ok()?;
        Some(MicroTlb { ports: self, number: (!open).trailing_zeros() as usize, hits: 0, lines: [Line::EMPTY; LINES] })
    }

    /// Continues the generations of an earlier model.
    pub(crate) fn attach(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Makes every copy of an earlier generation void for accesses that begin from now on.
    #[inline]
    pub(crate) fn raise(&self, generation: u64) {
        self.generation.store(generation, Ordering::SeqCst);
    }

    /// True once no port uses a copy of an earlier generation. Looks for a while.
    pub(crate) fn have_left(&self, generation: u64) -> bool {
        fence(Ordering::SeqCst);
        let has_left = |port: &UnderWay| matches!(port.0.load(Ordering::Acquire), used if used == 0 || used >= generation);
        let mut looks = 0;
        self.under_way.iter().all(|port| {
            while !has_left(port) {
                if looks == LOOKS {
                    return false;
                }
                looks += 1;
                core::hint::spin_loop();
            }
            true
        })
    }
}

/// The latest answers at one DMA port: `LINES` pages, one access right each. Nobody else touches it.
///
/// ```text
/// match port.hit(&tx, |to| memory.read(to.pa, out)) {       // no lock
///     Some(done) => done,
///     None => { let model = &mut lock(); port.translate(tx, model, memory, lines) … }
/// }
/// ```
pub struct MicroTlb<'p, const LINES: usize> {
    ports: &'p Ports,
    number: usize,
    hits: u64,
    lines: [Line; LINES],
}

/// Withdraws a port's announcement, also if the access panics.
struct Leave<'p>(&'p AtomicU64);

impl Drop for Leave<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl<const LINES: usize> MicroTlb<'_, LINES> {
    /// Performs `access` at the transaction's address if a copy of the translation serves; `None` if the model must be asked.
    ///
    /// A CMD_SYNC that follows an invalidation of the translation completes after `access` has returned. `access` should be short: one
    /// page at most, and it must not wait for the model's lock.
    #[inline]
    pub fn hit<R>(&mut self, tx: &Transaction, access: impl FnOnce(Translated) -> R) -> Option<R> {
        let key = requester_key(&tx.who)?;
        let line = &self.lines[Line::place(key, tx) & (LINES - 1)];
        if !line.is_of(key, tx) {
            return None;
        }
        let under_way = &self.ports.under_way[self.number].0;
        under_way.store(line.generation, Ordering::Relaxed);
        let _leave = Leave(under_way);
        fence(Ordering::SeqCst);
        if self.ports.generation.load(Ordering::Relaxed) != line.generation {
            return None;
        }
        self.hits += 1;
        Some(access(line.translated(tx)))
    }

    /// Asks the model, and keeps a copy of an answer that may be kept. `model` is the one these ports were attached to; the answer itself
    /// is good for as long as the caller keeps it locked.
    ///
    /// # Errors
    /// As [`SmmuModel::translate`].
    pub fn translate(
        &mut self,
        tx: Transaction,
        model: &mut SmmuModel,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        let translated = model.translate(tx, mem, irq)?;
        if model.is_attached_to(self.ports)
            && let Some(key) = requester_key(&tx.who)
            && let Some(line) = model.recent_line(key, &tx)
        {
            self.lines[Line::place(key, &tx) & (LINES - 1)] = line;
        }
        Ok(translated)
    }

    /// Accesses that a copy served.
    pub fn hits(&self) -> u64 {
        self.hits
    }
}

impl<const LINES: usize> Drop for MicroTlb<'_, LINES> {
    fn drop(&mut self) {
        self.ports.open.fetch_and(!(1 << self.number), Ordering::Release);
    }
}

impl SmmuModel {
    /// Lets ports keep copies of this model's answers. One model per [`Ports`].
    pub fn attach(&mut self, ports: &'static Ports) {
        self.ports = Some(ports);
        self.recent_generation = ports.attach().max(self.recent_generation + 1);
        ports.raise(self.recent_generation);
    }

    fn is_attached_to(&self, ports: &Ports) -> bool {
        self.ports.is_some_and(|own| core::ptr::eq(own, ports))
    }

    /// Makes every copied answer void.
    pub(crate) fn forget_recent(&mut self) {
        self.recent_generation += 1;
        if let Some(ports) = self.ports {
            ports.raise(self.recent_generation);
        }
    }

    /// True once no port performs an access by an answer that is void by now.
    pub(crate) fn ports_have_left(&self) -> bool {
        self.ports.is_none_or(|ports| ports.have_left(self.recent_generation))
    }

    fn recent_line(&self, key: u64, tx: &Transaction) -> Option<Line> {
        let line = self.recent[Line::place(key, tx) & (RECENT - 1)];
        line.serves(key, tx, self.recent_generation).then_some(line)
    }

    /// Keeps an answer of the TLB for the same access.
    #[inline]
    pub(crate) fn keep_recent(&mut self, key: u64, tx: &Transaction, translated: &Translated) {
        self.recent[Line::place(key, tx) & (RECENT - 1)] = Line::new(key, tx, self.recent_generation, translated);
    }
}

/// Answers that the model itself keeps.
pub(crate) const RECENT: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::vec::Vec;

    use hal::{AccessKind, Iova, Requester, StreamId, SubstreamId};

    use super::*;

    fn read(substream: Option<u32>, iova: u64) -> Transaction {
        let who = Requester { stream: StreamId(8), substream: substream.map(SubstreamId), privileged: false };
        Transaction { who, iova: Iova(iova), kind: AccessKind::Read }
    }

    fn filled<'p>(ports: &'p Ports, tx: &Transaction, pa: u64) -> MicroTlb<'p, 8> {
        let mut port = ports.open::<8>().expect("a port");
        let key = requester_key(&tx.who).expect("a key");
        let generation = ports.generation.load(Ordering::SeqCst);
        let translated = Translated { pa: Pa(pa), attributes: 0x44, shareability: 2 };
        port.lines[Line::place(key, tx) & 7] = Line::new(key, tx, generation, &translated);
        port
    }

    #[test]
    fn a_copy_serves_its_page_kind_and_privilege_and_nothing_else() {
        let ports = Ports::new();
        let tx = read(Some(5), 0x1234);
        let mut port = filled(&ports, &tx, 0x9000);
        let answer = Translated { pa: Pa(0x9ffe), attributes: 0x44, shareability: 2 };
        assert_eq!(port.hit(&read(Some(5), 0x1ffe), |t| t), Some(answer));
        assert_eq!(port.hit(&read(Some(4), 0x1ffe), |t| t), None, "another substream");
        assert_eq!(port.hit(&read(None, 0x1ffe), |t| t), None, "none");
        assert_eq!(port.hit(&read(Some(5), 0x2000), |t| t), None, "another page");
        assert_eq!(port.hit(&Transaction { kind: AccessKind::Write, ..tx }, |t| t), None, "another direction");
        let privileged = Requester { privileged: true, ..tx.who };
        assert_eq!(port.hit(&Transaction { who: privileged, ..tx }, |t| t), None, "another privilege");
        ports.raise(2);
        assert_eq!(port.hit(&tx, |t| t), None, "void");
        assert_eq!(port.hits(), 1);
    }

    #[test]
    fn a_sync_sees_who_is_under_way_with_an_old_copy_and_nobody_else() {
        let ports = Ports::new();
        let tx = read(None, 0x1000);
        let mut port = filled(&ports, &tx, 0x9000);
        let seen = port.hit(&tx, |_| {
            let before = ports.have_left(1);
            ports.raise(2);
            (before, ports.have_left(2))
        });
        assert_eq!(seen, Some((true, false)));
        assert!(ports.have_left(2), "it has left");
        assert_eq!(port.hit(&tx, |t| t), None);
        assert!(ports.have_left(2), "a miss announces nothing that stays");
    }

    #[test]
    fn ports_are_given_once_and_given_back() {
        let ports = Ports::new();
        let mut open: Vec<_> = (0..PORTS).map(|_| ports.open::<1>().expect("a port")).collect();
        assert!(ports.open::<1>().is_none());
        let numbers: Vec<_> = open.iter().map(|p| p.number).collect();
        assert_eq!(numbers, (0..PORTS).collect::<Vec<_>>());
        open.remove(3);
        assert_eq!(ports.open::<1>().expect("given back").number, 3);
    }

    /// A page is given up by its generation, and poisoned as soon as nobody may be using it: no reader ever sees the poison.
    #[test]
    fn no_access_by_an_old_copy_outlives_the_wait() {
        static PORTS: Ports = Ports::new();
        let poisoned = AtomicBool::new(false);
        let rounds = if cfg!(miri) { 20 } else { 2_000 };
        let tx = read(None, 0x1000);
        for _ in 0..rounds {
            let generation = PORTS.generation.load(Ordering::SeqCst);
            let mut port = filled(&PORTS, &tx, 0x9000);
            poisoned.store(false, Ordering::SeqCst);
            std::thread::scope(|scope| {
                let reader = scope.spawn(|| while let Some(()) = port.hit(&tx, |_| assert!(!poisoned.load(Ordering::Relaxed))) {});
                PORTS.raise(generation + 1);
                while !PORTS.have_left(generation + 1) {}
                poisoned.store(true, Ordering::Relaxed);
                reader.join().expect("no access after the wait");
            });
        }
    }
}
