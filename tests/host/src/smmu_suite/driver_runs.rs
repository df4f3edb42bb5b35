//! Every row of the driver's checklist runs under every policy of the TLB and three seeds.

use smmu_driver::{Config, FaultModel};
use smmu_model::{Policy, Profile};

use super::driver_machine::{Attached, Machine};
use super::rng::Rng;

/// One run of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// What the caches of the SMMU do of their own accord.
    pub policy: Policy,
    /// Decides what the policy and the CPU's store buffer do by chance, and how long acknowledgements take. 1: stores wait for their barrier and
    /// acknowledgements come at once.
    pub seed: u32,
}

const SEEDS: [u32; 3] = [1, 2, 3];

/// Names the run in which a row fails.
struct Named(Run);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in this run: {:?}", self.0);
        }
    }
}

/// Runs a row in every combination.
pub fn on_every(row: impl Fn(Run)) {
    for seed in SEEDS {
        for policy in [Policy::AlwaysMiss, Policy::Sticky, Policy::Prefetch, Policy::Random { seed }] {
            let run = Run { policy, seed };
            let _named = Named(run);
            row(run);
        }
    }
}

impl Run {
    /// A machine of this run.
    pub fn machine(self, profile: Profile) -> Machine {
        let machine = match self.seed {
            1 => Machine::new(profile, self.policy),
            seed => Machine::with_early_stores(profile, self.policy, u64::from(seed)),
        };
        machine.model.device().model.set_ack_delay(7 * (self.seed - 1));
        machine
    }

    /// The default profile with an attached stream.
    pub fn attached(self) -> Attached {
        self.attached_with(Profile::STALL_S1, Config::default(), FaultModel::Stall)
    }

    /// As [`attached`](Self::attached), with these choices.
    pub fn attached_with(self, profile: Profile, config: Config, faults: FaultModel) -> Attached {
        Attached::on(self.machine(profile), config, faults)
    }

    /// Numbers of this run.
    pub fn rng(self) -> Rng {
        Rng(u64::from(self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[test]
fn a_row_runs_under_four_policies_and_three_seeds_each() {
    let runs = std::cell::RefCell::new(Vec::new());
    on_every(|run| runs.borrow_mut().push((std::mem::discriminant(&run.policy), run.seed)));
    let runs = runs.into_inner();
    assert_eq!(runs.len(), 12);
    assert!(runs.iter().enumerate().all(|(i, run)| !runs[..i].contains(run)), "twelve different ones");
}
