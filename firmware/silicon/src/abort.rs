//! A load or store that stage 2 did not let through: decode it, let the bus answer, finish the instruction.

use aarch64_cpu::registers::{Readable, SP_EL0, SP_EL1};
use firmware_platform::trace::{Counter, Kind, Record};
use firmware_platform::{PCI_MEM64_BASE, PCI_MEM64_BYTES, SMMU_BASE};
use hal::{Access, DataAbort, Esr, LoadStore, StorePair, Va};
use hal_aarch64::at;
use hal_aarch64::context::TrapFrame;

use crate::bus::Target;
use crate::state::{self, Silicon};
use crate::trace;
use crate::{engine, inject};

/// First address of the aperture: it holds every modelled block.
const APERTURE_BASE: u64 = 0x20_0000_0000;
/// Past the last address of the aperture.
const APERTURE_END: u64 = PCI_MEM64_BASE + PCI_MEM64_BYTES;
const _: () = assert!(APERTURE_BASE <= SMMU_BASE && SMMU_BASE < APERTURE_END);

/// What [`is_plain`] looks at: EC, ISV, FnV, CM, S1PTW, and DFSC without its level.
const PLAIN_MASK: u64 = (0x3f << 26) | (1 << 24) | (1 << 10) | (1 << 8) | (1 << 7) | 0x3c;
/// A data abort of a lower level, with syndrome and valid address, no maintenance, not on a walk, translation fault.
const PLAIN: u64 = (0x24 << 26) | (1 << 24) | 0x04;

/// True for a load or store of one general-purpose register to where stage 2 maps nothing: nearly every trap.
#[inline(always)]
pub const fn is_plain(esr: Esr) -> bool {
    esr.0 & PLAIN_MASK == PLAIN
}

/// What [`is_plain_store8`] looks at: SAS and WnR besides.
const STORE8_MASK: u64 = PLAIN_MASK | (3 << 22) | (1 << 6);
/// A plain store of 8 bytes.
const STORE8: u64 = PLAIN | (3 << 22) | (1 << 6);

/// True for a plain store of 8 bytes: every doorbell is one.
#[inline(always)]
pub const fn is_plain_store8(esr: Esr) -> bool {
    esr.0 & STORE8_MASK == STORE8
}

/// The faulting intermediate physical address.
#[inline(always)]
const fn ipa_of(far: u64, hpfar: u64) -> u64 {
    ((hpfar & 0x0000_0fff_ffff_fff0) << 8) | (far & 0xfff)
}

/// Answers a plain 8-byte store if it is a doorbell that moves a tail, or a head without arming; false, with nothing done, if it is anything
/// else. Nothing is called on this way but the engine at its end, so that the trap needs no stack of its own.
#[inline(always)]
pub fn ring(frame: &mut TrapFrame, esr: Esr, far: u64, hpfar: u64) -> bool {
    let ipa = ipa_of(far, hpfar);
    let value = frame.reg((esr.0 >> 16) as u8);
    let mut silicon = state::lock();
    let Some((function, offset)) = silicon.doorbells.find(ipa) else { return false };
    if trace::keeps_records() {
        return false;
    }
    if !silicon.qm.function_ring_submission(function, offset, 8, value) && !silicon.qm.function_ring_completion(function, offset, 8, value)
    {
        return false;
    }
    trace::access_unrecorded(Counter::BarAccesses, Record::meta(Kind::Store, 8, level(frame), state::core_index()), ipa, value);
    let work = silicon.engine_is_on && silicon.qm.has_ready();
    drop(silicon);
    frame.elr += 4;
    if work {
        engine::work_arrived();
    }
    true
}

/// Answers a plain load or store.
#[inline(always)]
pub fn plain(frame: &mut TrapFrame, esr: Esr, far: u64, hpfar: u64) {
    let abort = esr.data_abort();
    let ipa = ipa_of(far, hpfar);
    let Some(form) = abort.syndrome() else { return };
    if abort.access() == Access::Write {
        let mut silicon = state::lock();
        if let Some((function, offset)) = silicon.doorbells.find(ipa) {
            let value = form.store_value(frame.reg(form.register));
            trace::access(Counter::BarAccesses, Record::meta(Kind::Store, form.bytes, level(frame), state::core_index()), ipa, value, 0);
            let work = silicon.ring(function, offset, form.bytes, value);
            drop(silicon);
            frame.elr += 4;
            if work {
                engine::work_arrived();
            }
            return;
        }
    }
    plain_elsewhere(frame, esr, form, far, ipa);
}

#[inline(never)]
fn plain_elsewhere(frame: &mut TrapFrame, esr: Esr, form: LoadStore, far: u64, ipa: u64) {
    if !(APERTURE_BASE..APERTURE_END).contains(&ipa) {
        return refuse(frame, esr, far, ipa);
    }
    match esr.data_abort().access() {
        Access::Write => store(frame, form, ipa, Target::of(ipa)),
        Access::Read => load(frame, form, ipa, Target::of(ipa)),
    }
}

/// Answers any other data abort of a lower level.
#[cold]
pub fn other(frame: &mut TrapFrame, esr: Esr, far: u64, hpfar: u64) {
    let abort = esr.data_abort();
    let ipa = ipa_of(far, hpfar);
    let is_answerable =
        abort.status().is_translation() && !abort.is_far_invalid() && !abort.is_stage1_walk() && !abort.is_cache_maintenance();
    if !(is_answerable && (APERTURE_BASE..APERTURE_END).contains(&ipa) && pair(frame, abort, far, ipa)) {
        refuse(frame, esr, far, ipa);
    }
}

/// The level that the frame was made by.
#[inline(always)]
fn level(frame: &TrapFrame) -> u8 {
    ((frame.spsr >> 2) & 3) as u8
}

#[inline(always)]
fn store(frame: &mut TrapFrame, form: LoadStore, ipa: u64, target: Target) {
    let meta = Record::meta(Kind::Store, form.bytes, level(frame), state::core_index());
    let value = form.store_value(frame.reg(form.register));
    frame.elr += 4;
    let work = {
        let mut silicon = state::lock();
        trace::access(target.block(), meta, ipa, value, 0);
        silicon.write(target, form.bytes, value)
    };
    if work {
        engine::work_arrived();
    }
}

fn load(frame: &mut TrapFrame, form: LoadStore, ipa: u64, target: Target) {
    let meta = Record::meta(Kind::Load, form.bytes, level(frame), state::core_index());
    let value = {
        let mut silicon = state::lock();
        let value = form.load_value(silicon.read(target, form.bytes));
        trace::access(target.block(), meta, ipa, value, 0);
        value
    };
    frame.set_reg(form.register, value);
    frame.elr += 4;
}

/// An access without a syndrome. One is legal: the 16-byte store to the mailbox. False for any other.
fn pair(frame: &mut TrapFrame, abort: DataAbort, far: u64, ipa: u64) -> bool {
    let target = Target::of(ipa);
    let outcome = {
        let mut silicon = state::lock();
        fetch_pair(&silicon, frame, abort, far).and_then(|(low, high)| {
            let meta = Record::meta(Kind::StorePair, 16, level(frame), state::core_index());
            trace::access(target.block(), meta, ipa, low, high);
            silicon.write_pair(target, low, high)
        })
    };
    let Some(work) = outcome else { return false };
    frame.elr += 4;
    if work {
        engine::work_arrived();
    }
    true
}

/// Fetches and decodes the instruction: its two values if it is a store pair to exactly the faulting address.
fn fetch_pair(silicon: &Silicon, frame: &TrapFrame, abort: DataAbort, far: u64) -> Option<(u64, u64)> {
    if abort.access() != Access::Write {
        return None;
    }
    let pc = Va(frame.elr);
    let is_el0 = level(frame) == 0;
    let par = at::preserving_par(|| if is_el0 { at::s12e0r(pc) } else { at::s12e1r(pc) });
    let word = silicon.memory.fetch(par.result(pc).ok()?).ok()?;
    let pair = StorePair::decode(word)?;
    let base = if pair.base < 31 {
        frame.reg(pair.base)
    } else if is_el0 || frame.spsr & 1 == 0 {
        SP_EL0.get()
    } else {
        SP_EL1.get()
    };
    // The instruction may have changed under us between the abort and the fetch: it must still explain the address.
    (base.wrapping_add_signed(i64::from(pair.offset)) == far).then(|| (frame.reg(pair.first), frame.reg(pair.second)))
}

/// Nothing answers: the access ends in an external abort, and in the trace.
#[cold]
fn refuse(frame: &mut TrapFrame, esr: Esr, far: u64, ipa: u64) {
    {
        let _order = state::lock();
        trace::note(Some(Counter::Aborts), Kind::Abort, ipa, esr.0, frame.elr);
    }
    defmt::warn!("no answer at {=u64:#x} for pc {=u64:#x} (esr {=u64:#x})", ipa, frame.elr, esr.0);
    inject::external_data_abort(frame, far, esr.data_abort().access());
}
