//! Stalled transactions: who waits, under which tag, and how it ended (IHI 0070 3.12.2).

use hal::{AccessKind, Requester, StallTag, StreamId, Verdict};
use smmu_spec::event::EventRecord;

/// Transactions that can be stalled with a record at once; IDR5.STALL_MAX may be lower.
pub(crate) const CAPACITY: usize = 64;

/// STAG of a transaction that is held back without a record of its own: an equal one is pending, or the table is full. It is never
/// written to memory; the transaction is told to retry as soon as any stall has ended.
pub const HELD_STAG: u16 = 0xffff;

/// What makes two stalled transactions equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub who: Requester,
    pub page: u64,
    pub kind: AccessKind,
}

#[derive(Clone, Copy)]
enum State {
    Free,
    /// The record waits for room in the Event queue.
    Waiting(EventRecord, u32),
    /// The record is visible to software.
    Recorded,
    /// Software, or a disable, has decided; the device has not been told.
    Resolved(Verdict),
}

#[derive(Clone, Copy)]
struct Slot {
    state: State,
    tag: StallTag,
    key: Key,
}

const NOBODY: Requester = Requester { stream: StreamId(0), substream: None, privileged: false };

pub(crate) struct Stalls {
    slots: [Slot; CAPACITY],
    generation: u16,
    order: u32,
    used: u32,
    waiting: u32,
    held: [Option<StreamId>; CAPACITY],
    wake_held: bool,
}

/// What became of a transaction that has to stall.
pub(crate) enum Admission {
    /// Tagged; its record is now waiting.
    Admitted(StallTag),
    /// Held back without a record.
    Held(StallTag),
    /// Not even a place to be held: more streams wait than any machine of ours has.
    Refused,
}

impl Stalls {
    pub const fn new() -> Self {
        let key = Key { who: NOBODY, page: 0, kind: AccessKind::Read };
        let slot = Slot { state: State::Free, tag: StallTag { stream: StreamId(0), stag: 0 }, key };
        Self { slots: [slot; CAPACITY], generation: 0, order: 0, used: 0, waiting: 0, held: [None; CAPACITY], wake_held: false }
    }

    /// Stalls a transaction; `record` becomes the record once the tag is known.
    pub fn admit(&mut self, key: Key, limit: u32, record: impl FnOnce(u16) -> EventRecord) -> Admission {
        let is_equal_pending =
            self.used > 0 && self.slots.iter().any(|s| matches!(s.state, State::Waiting(..) | State::Recorded) && s.key == key);
        let free =
            if self.used < limit.min(CAPACITY as u32) { self.slots.iter().position(|s| matches!(s.state, State::Free)) } else { None };
        let Some(index) = free.filter(|_| !is_equal_pending) else { return self.hold(key.who.stream) };
        // The generation keeps a late or doubled answer from hitting the slot's next user; 1023 leaves HELD_STAG free.
        self.generation = (self.generation + 1) % 1023;
        let stag = self.generation << 6 | index as u16;
        let tag = StallTag { stream: key.who.stream, stag };
        self.order = self.order.wrapping_add(1);
        self.slots[index] = Slot { state: State::Waiting(record(stag), self.order), tag, key };
        self.used += 1;
        self.waiting += 1;
        Admission::Admitted(tag)
    }

    fn hold(&mut self, stream: StreamId) -> Admission {
        let tag = StallTag { stream, stag: HELD_STAG };
        if self.held.contains(&Some(stream)) {
            return Admission::Held(tag);
        }
        match self.held.iter_mut().find(|h| h.is_none()) {
            Some(place) => {
                *place = Some(stream);
                Admission::Held(tag)
            }
            None => Admission::Refused,
        }
    }

    /// The oldest record that waits for room, as (handle, record).
    pub fn oldest_waiting(&self) -> Option<(usize, EventRecord)> {
        if self.waiting == 0 {
            return None;
        }
        let age = |order: u32| self.order.wrapping_sub(order);
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(i, s)| if let State::Waiting(record, order) = s.state { Some((i, record, age(order))) } else { None })
            .max_by_key(|(_, _, age)| *age)
            .map(|(i, record, _)| (i, record))
    }

    /// Notes that a waiting record is now visible.
    pub fn mark_recorded(&mut self, handle: usize) {
        self.slots[handle].state = State::Recorded;
        self.waiting -= 1;
    }

    /// Resolves one recorded stall; false if there is none of this tag.
    pub fn resolve(&mut self, tag: StallTag, verdict: Verdict) -> bool {
        let found = self.slots.iter_mut().find(|s| matches!(s.state, State::Recorded) && s.tag == tag);
        let is_known = found.is_some();
        if let Some(slot) = found {
            slot.state = State::Resolved(verdict);
        }
        is_known
    }

    /// Resolves every unresolved stall that `which` selects; returns how many.
    pub fn resolve_all(&mut self, verdict: Verdict, which: impl Fn(StallTag) -> bool) -> u32 {
        let mut count = 0;
        for slot in &mut self.slots {
            let waits = matches!(slot.state, State::Waiting(..));
            if (waits || matches!(slot.state, State::Recorded)) && which(slot.tag) {
                self.waiting -= u32::from(waits);
                slot.state = State::Resolved(verdict);
                count += 1;
            }
        }
        count
    }

    /// Drops the records that wait for room; their transactions are translated again.
    pub fn retry_waiting(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot.state, State::Waiting(..)) {
                slot.state = State::Resolved(Verdict::Retry);
            }
        }
        self.waiting = 0;
    }

    /// Wakes what is held back.
    pub fn wake_held(&mut self) {
        self.wake_held = true;
    }

    /// The next transaction that the device may go on with.
    pub fn take_resumed(&mut self) -> Option<(StallTag, Verdict)> {
        if self.used > 0 {
            for slot in &mut self.slots {
                if let State::Resolved(verdict) = slot.state {
                    slot.state = State::Free;
                    self.used -= 1;
                    self.wake_held = true;
                    return Some((slot.tag, verdict));
                }
            }
        }
        if self.wake_held {
            if let Some(stream) = self.held.iter_mut().find_map(Option::take) {
                return Some((StallTag { stream, stag: HELD_STAG }, Verdict::Retry));
            }
            self.wake_held = false;
        }
        None
    }
}
