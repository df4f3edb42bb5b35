//! HVC of the own kernel and the tests: see `firmware_platform::vendor`.

use core::sync::atomic::Ordering;

use firmware_platform::vendor;
use hal::{AccessKind, Iova, Requester, StreamId, SubstreamId};
use hal_aarch64::context::TrapFrame;
use smmu_model::{Fault, Policy, Transaction};
use smmu_spec::pri::PageRequest;

use crate::reset::ResetFault;
use crate::{smc, state, trace};

/// Answers an HVC; ELR is past it already.
pub fn call(frame: &mut TrapFrame) {
    let x = frame.arguments();
    let result = if smc::IS_FOREIGN.load(Ordering::Relaxed) { Err(vendor::NOT_SUPPORTED) } else { answer(x) };
    match result {
        Ok(value) => (x[0], x[1]) = (0, value),
        Err(status) => x[0] = status,
    }
}

fn answer(x: &[u64; 8]) -> Result<u64, u64> {
    let [function, x1, x2, ..] = *x;
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
        vendor::TRANSLATE => translate(x, 1),
        vendor::TRANSLATE_AGAIN if (1..=4096).contains(&x[5]) => translate(x, x[5]),
        vendor::TRANSLATE_AGAIN => Err(vendor::INVALID),
        vendor::SET_RESET_FAULT => {
            state::lock().reset.fault = match x1 {
                0 => ResetFault::None,
                1 => ResetFault::Fails,
                2 => ResetFault::NeverEnds,
                _ => return Err(vendor::INVALID),
            };
            Ok(0)
        }
        vendor::PAGE_REQUEST => page_request(x),
        _ => Err(vendor::NOT_SUPPORTED),
    }
}

/// Asks the SMMU as a device would, as often as wanted.
fn translate(x: &[u64; 8], times: u64) -> Result<u64, u64> {
    let narrow = |word: u64| u32::try_from(word).map_err(|_| vendor::INVALID);
    let substream = if x[2] == vendor::NO_SUBSTREAM { None } else { Some(SubstreamId(narrow(x[2])?)) };
    let who = Requester { stream: StreamId(narrow(x[1])?), substream, privileged: false };
    let kind = match x[4] {
        0 => AccessKind::Read,
        1 => AccessKind::Write,
        _ => return Err(vendor::INVALID),
    };
    let mut silicon = state::lock();
    let silicon = &mut *silicon;
    let tx = Transaction { who, iova: Iova(x[3]), kind };
    for _ in 1..times {
        // What is asked is the same each time, and each answer is wanted: the compiler may not know.
        core::hint::black_box(&silicon.ats.translate(&mut silicon.smmu, core::hint::black_box(&tx), &mut silicon.memory));
    }
    let answer = silicon.ats.translate(&mut silicon.smmu, &tx, &mut silicon.memory);
    trace::smmu_steps(&mut silicon.smmu);
    Ok(match answer {
        Ok(translated) => translated.pa.0,
        Err(Fault::Abort) => vendor::TRANSLATE_ABORTED,
        Err(Fault::ReadZeroWriteIgnore) => vendor::TRANSLATE_IGNORED,
        Err(Fault::Stalled(tag)) => vendor::TRANSLATE_STALLED | u64::from(tag.stag),
    })
}

/// Asks for a page as the accelerator's port would.
fn page_request(x: &[u64; 8]) -> Result<u64, u64> {
    let request = PageRequest {
        stream: StreamId(firmware_platform::ACCELERATOR_RID),
        substream: Some(SubstreamId(u32::try_from(x[1]).map_err(|_| vendor::INVALID)?)),
        address: x[2] & !0xfff,
        prg_index: u16::try_from(x[3]).map_err(|_| vendor::INVALID)?,
        read: x[2] & vendor::PAGE_READ != 0,
        write: x[2] & vendor::PAGE_WRITE != 0,
        execute: false,
        privileged: false,
        last: x[2] & vendor::PAGE_LAST != 0,
    };
    let mut silicon = state::lock();
    let silicon = &mut *silicon;
    if silicon.ats.send(&mut silicon.smmu, request, &mut silicon.memory) { Ok(0) } else { Err(vendor::INVALID) }
}
