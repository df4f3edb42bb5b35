//! A load or store that stage 2 did not let through: decode it, let the bus answer, finish the instruction.

use firmware_platform::trace::{Counter, Kind, Record};
use firmware_platform::{ECAM_BASE, PCI_MEM64_BASE, PCI_MEM64_BYTES};
use hal::{Access, DataAbort, Esr, LoadStore, Pa, StorePair, Va};
use hal_aarch64::context::TrapFrame;
use hal_aarch64::{at, read_sysreg};

use crate::bus;
use crate::inject;
use crate::state::{self, Silicon};
use crate::trace;

/// First address of the aperture: it holds every modelled block.
const APERTURE_BASE: u64 = 0x20_0000_0000;
/// Past the last address of the aperture.
const APERTURE_END: u64 = PCI_MEM64_BASE + PCI_MEM64_BYTES;
const _: () = assert!(APERTURE_BASE <= ECAM_BASE && ECAM_BASE < APERTURE_END);

/// Answers a data abort of a lower level.
#[inline]
pub fn data_abort(frame: &mut TrapFrame, esr: Esr, far: u64, hpfar: u64) {
    let abort = esr.data_abort();
    let ipa = ((hpfar & 0x0000_0fff_ffff_fff0) << 8) | (far & 0xfff);
    let is_ours = (APERTURE_BASE..APERTURE_END).contains(&ipa) && !abort.is_far_invalid() && !abort.is_stage1_walk();
    if !is_ours || !abort.status().is_translation() {
        return refuse(frame, abort, esr, far, ipa);
    }
    match abort.syndrome() {
        Some(form) => single(frame, abort.access(), form, ipa),
        None => pair(frame, abort, esr, far, ipa),
    }
}

/// The level that the frame was made by.
#[inline(always)]
fn level(frame: &TrapFrame) -> u8 {
    ((frame.spsr >> 2) & 3) as u8
}

#[inline]
fn single(frame: &mut TrapFrame, access: Access, form: LoadStore, ipa: u64) {
    let core = state::core_index();
    let level = level(frame);
    let mut silicon = state::lock();
    match access {
        Access::Write => {
            let value = form.store_value(frame.reg(form.register));
            let block = bus::block_of(ipa);
            trace::access(block, Record { meta: Record::meta(Kind::Store, form.bytes, level, core), address: ipa, value, extra: 0 });
            let work = bus::write(&mut silicon, ipa, form.bytes, value);
            frame.elr += 4;
            drop(silicon);
            if work {
                crate::engine::work_arrived();
            }
        }
        Access::Read => {
            let raw = bus::read(&mut silicon, ipa, form.bytes);
            let value = form.load_value(raw);
            let block = bus::block_of(ipa);
            trace::access(block, Record { meta: Record::meta(Kind::Load, form.bytes, level, core), address: ipa, value, extra: 0 });
            frame.set_reg(form.register, value);
            frame.elr += 4;
        }
    }
}

/// An access without a syndrome. One is legal: the 16-byte store to the mailbox.
#[cold]
fn pair(frame: &mut TrapFrame, abort: DataAbort, esr: Esr, far: u64, ipa: u64) {
    let mut silicon = state::lock();
    let Some((low, high)) = fetch_pair(&mut silicon, frame, abort, far) else {
        drop(silicon);
        return refuse(frame, abort, esr, far, ipa);
    };
    let meta = Record::meta(Kind::StorePair, 16, level(frame), state::core_index());
    let Some(work) = bus::write128(&mut silicon, ipa, low, high) else {
        drop(silicon);
        return refuse(frame, abort, esr, far, ipa);
    };
    trace::access(bus::block_of(ipa), Record { meta, address: ipa, value: low, extra: high });
    frame.elr += 4;
    drop(silicon);
    if work {
        crate::engine::work_arrived();
    }
}

/// Fetches and decodes the instruction: its two values if it is a store pair to exactly the faulting address.
fn fetch_pair(silicon: &mut Silicon, frame: &TrapFrame, abort: DataAbort, far: u64) -> Option<(u64, u64)> {
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
        read_sysreg!("sp_el0")
    } else {
        read_sysreg!("sp_el1")
    };
    // The instruction may have changed under us between the abort and the fetch: it must still explain the address.
    (base.wrapping_add_signed(i64::from(pair.offset)) == far).then(|| (frame.reg(pair.first), frame.reg(pair.second)))
}

/// Nothing answers: the access ends in an external abort, and in the trace.
#[cold]
fn refuse(frame: &mut TrapFrame, abort: DataAbort, esr: Esr, far: u64, ipa: u64) {
    {
        let _order = state::lock();
        trace::note(Some(Counter::Aborts), Kind::Abort, ipa, esr.0, frame.elr);
    }
    defmt::warn!("no answer at {=u64:#x} for pc {=u64:#x} (esr {=u64:#x})", Pa(ipa).0, frame.elr, esr.0);
    inject::external_data_abort(frame, far, abort.access());
}
