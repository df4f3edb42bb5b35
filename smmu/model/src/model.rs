//! The model as a value, and what can be asked of it beside registers and translations.

use hal::{StallTag, Verdict};
use heapless::Deque;
use smmu_spec::event::EventRecord;
use smmu_spec::queue::RingIndex;

use crate::ats::AtcQueue;
use crate::configuration::Configuration;
use crate::micro_tlb::{Line, Ports, RECENT};
use crate::plain::Plain;
use crate::policy::{Policy, Retention};
use crate::pri_queue::Responses;
use crate::profile::{Features, Profile};
use crate::registers::Registers;
use crate::stalls::Stalls;
use crate::trace::{Trace, Tracing};
use crate::translate::{RESOLVED, Resolved};
use crate::violation::Violation;
use crate::walker::Walker;

/// What happened so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Transactions presented.
    pub translations: u64,
    /// Of these, served or denied by a TLB entry.
    pub tlb_hits: u64,
    /// Translation table walks, speculative ones included.
    pub walks: u64,
    /// Stream table entries read from memory.
    pub ste_fetches: u64,
    /// Context descriptors read from memory.
    pub cd_fetches: u64,
    /// Commands executed.
    pub commands: u64,
    /// Records written.
    pub events: u64,
    /// Records lost.
    pub events_lost: u64,
    /// Records that an unread one stands for too.
    pub events_merged: u64,
    /// Transactions stalled under a tag of their own.
    pub stalls: u64,
    /// CMD_SYNCs that asked for an event to waiting CPUs.
    pub sev: u64,
    /// Page requests written to the PRI queue.
    pub page_requests: u64,
    /// Rules broken by software.
    pub violations: u64,
}

/// The latest 64 steps, if wanted.
pub(crate) struct TraceRing {
    ring: Deque<Trace, 64>,
    tracing: Tracing,
}

impl TraceRing {
    #[inline]
    pub fn push(&mut self, step: Trace) {
        if self.tracing == Tracing::On {
            self.push_now(step);
        }
    }

    #[inline(never)]
    fn push_now(&mut self, step: Trace) {
        if self.ring.is_full() {
            self.ring.pop_front();
        }
        let _ = self.ring.push_back(step);
    }
}

/// An SMMUv3 instance. About 300 KiB: it is meant for a static or the heap, not for the stack.
pub struct SmmuModel {
    pub(crate) profile: Profile,
    pub(crate) features: Features,
    pub(crate) regs: Registers,
    pub(crate) configuration: Configuration,
    pub(crate) walker: Walker,
    /// The way of the latest walk while nothing is cached.
    pub(crate) plain: Plain,
    pub(crate) resolved: [Resolved; RESOLVED],
    /// Resolved contexts of another generation are void. Never 0.
    pub(crate) generation: u64,
    pub(crate) recent: [Line; RECENT],
    /// Recent answers of another generation are void, at the ports too. Never 0.
    pub(crate) recent_generation: u64,
    /// Accesses that a recent answer served; no other counter knows of them.
    pub(crate) recent_hits: u64,
    pub(crate) ports: Option<&'static Ports>,
    pub(crate) stalls: Stalls,
    /// Without what the walker, the configuration, the plain way and the recent answers count themselves.
    pub(crate) counters: Counters,
    pub(crate) trace: TraceRing,
    pub(crate) atc: AtcQueue,
    /// EVENTQ_PROD behind the newest record, and the record.
    pub(crate) newest_record: Option<(RingIndex, EventRecord)>,
    pub(crate) responses: Responses,
    pub(crate) ack_delay: u32,
    /// An invalidation was executed since the last CMD_SYNC.
    pub(crate) invalidated_since_sync: bool,
    pub(crate) sev_pending: bool,
}

impl SmmuModel {
    /// Makes an instance in its reset state: disabled, aborting all traffic, [`Policy::Sticky`], no acknowledgement delay.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            features: Features::of(&profile.ids),
            regs: Registers::new(),
            configuration: Configuration::new(),
            walker: Walker::new(Policy::Sticky),
            plain: Plain::new(),
            resolved: [const { Resolved::EMPTY }; RESOLVED],
            generation: 1,
            recent: [Line::EMPTY; RECENT],
            recent_generation: 1,
            recent_hits: 0,
            ports: None,
            stalls: Stalls::new(),
            counters: Counters {
                translations: 0,
                tlb_hits: 0,
                walks: 0,
                ste_fetches: 0,
                cd_fetches: 0,
                commands: 0,
                events: 0,
                events_lost: 0,
                events_merged: 0,
                stalls: 0,
                sev: 0,
                page_requests: 0,
                violations: 0,
            },
            trace: TraceRing { ring: Deque::new(), tracing: Tracing::Off },
            atc: AtcQueue::new(),
            newest_record: None,
            responses: Responses::new(),
            ack_delay: 0,
            invalidated_since_sync: false,
            sev_pending: false,
        }
    }

    /// What the instance advertises.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Chooses what the caches do of their own accord. They start empty again.
    pub fn set_policy(&mut self, policy: Policy) {
        self.walker.retention = Retention::new(policy);
        self.walker.tlb.clear();
        self.plain.forget();
        self.invalidate_ste_range(hal::StreamId(0), 31);
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        self.walker.retention.policy
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let (recent, plain, Configuration { streams, contexts }) = (self.recent_hits, self.plain.walks, &self.configuration);
        Counters {
            translations: self.counters.translations + recent + plain,
            tlb_hits: self.walker.tlb_hits + recent,
            walks: self.walker.walks + plain,
            ste_fetches: streams.fetches + plain,
            cd_fetches: contexts.fetches + plain,
            violations: self.walker.log.count,
            ..self.counters
        }
    }

    /// The next stalled transaction that the device may go on with, and how. To be drained after every register write.
    pub fn take_resumed(&mut self) -> Option<(StallTag, Verdict)> {
        self.stalls.take_resumed()
    }

    /// True once after a CMD_SYNC asked for an event to waiting CPUs.
    pub fn take_sev(&mut self) -> bool {
        core::mem::take(&mut self.sev_pending)
    }

    /// The oldest broken rule not yet taken. The latest 32 are kept.
    #[inline]
    pub fn take_violation(&mut self) -> Option<Violation> {
        self.walker.log.take()
    }

    /// Starts or stops keeping steps.
    pub fn set_tracing(&mut self, tracing: Tracing) {
        self.trace.tracing = tracing;
    }

    /// The oldest step not yet taken.
    pub fn take_trace(&mut self) -> Option<Trace> {
        self.trace.ring.pop_front()
    }

    pub(crate) fn log(&mut self, violation: Violation) {
        self.walker.log.push(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Const evaluation of a whole instance: what a static needs.
    static INSTANCE: SmmuModel = SmmuModel::new(Profile::STALL_S1);

    #[test]
    fn an_instance_can_live_in_a_static_and_stays_below_384_kib() {
        assert_eq!(INSTANCE.profile().name, "stall_s1");
        assert!(size_of::<SmmuModel>() < 384 << 10, "{} bytes", size_of::<SmmuModel>());
    }
}
