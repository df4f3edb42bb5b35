//! HVC of the own kernel and the tests: see `firmware_platform::vendor`.

use core::sync::atomic::Ordering;

use firmware_platform::vendor;
use hal_aarch64::context::TrapFrame;
use smmu_model::Policy;

use crate::{smc, state, trace};

/// Answers an HVC; ELR is past it already.
pub fn call(frame: &mut TrapFrame) {
    let x = frame.arguments();
    let result = if smc::IS_FOREIGN.load(Ordering::Relaxed) { Err(vendor::NOT_SUPPORTED) } else { answer(x[0], x[1], x[2]) };
    match result {
        Ok(value) => (x[0], x[1]) = (0, value),
        Err(status) => x[0] = status,
    }
}

fn answer(function: u64, x1: u64, x2: u64) -> Result<u64, u64> {
    match function {
        vendor::COUNTER => trace::counter(x1).ok_or(vendor::INVALID),
        vendor::TRACE_HASH => Ok(trace::hash()),
        vendor::SET_TLB_POLICY => {
            let policy = match x1 {
                0 => Policy::AlwaysMiss,
                1 => Policy::Sticky,
                2 => Policy::Random { seed: x2 as u32 },
                3 => Policy::Prefetch,
                _ => return Err(vendor::INVALID),
            };
            state::lock().smmu.set_policy(policy);
            Ok(0)
        }
        vendor::SET_ENGINE => {
            if x1 > 1 {
                return Err(vendor::INVALID);
            }
            state::lock().engine_is_on = x1 == 1;
            if x1 == 1 {
                crate::engine::work_arrived();
            }
            Ok(0)
        }
        vendor::MEMORY if x1 == 0 => Ok(state::el2_room_bytes()),
        vendor::MEMORY => Err(vendor::INVALID),
        _ => Err(vendor::NOT_SUPPORTED),
    }
}
