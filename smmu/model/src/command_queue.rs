//! Consuming commands (IHI 0070 chapter 4, 3.5.1, 7.1).

use hal::{IrqLines, Pa, PhysMemory, Requester, StallTag, StreamId, SubstreamId, Verdict};
use smmu_spec::command::{Command, Opcode, Operation, PriResponse, ResumeAction, SyncSignal};
use smmu_spec::irq;
use smmu_spec::queue::CMD_BYTES;
use smmu_spec::regs::{CR0, CR2, GERROR, SMMU_CMDQ_PROD, cerror};

use crate::ats::AtcInvalidation;
use crate::invalidate::{ByAddress, Illegal};
use crate::model::SmmuModel;
use crate::pri_queue::PageResponse;
use crate::profile::StallModel;
use crate::registers::MsiConfig;
use crate::tlb::{Owner, Scope, world};
use crate::trace::Trace;
use crate::violation::Violation;

/// CMD_ATC_INV.Size that stands for every address; larger ones are ILLEGAL here.
const ATC_INV_EVERYTHING: u8 = 52;

/// A legal CMD_SYNC. An ILLEGAL one waits for nothing and reports no endpoint's failure.
fn is_sync(command: Command) -> bool {
    command.opcode() == Opcode::SYNC
        && !command.is_secure()
        && matches!(command.decode(), Operation::Sync(signal) if signal != SyncSignal::Reserved)
}

impl SmmuModel {
    /// Executes commands until the queue is empty or stops.
    pub(crate) fn run_commands(&mut self, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        loop {
            let stopped = !CR0::CMDQEN.is_set(self.regs.cr0ack) || self.regs.is_error_active(GERROR::CMDQ_ERR::SET.value);
            let (prod, cons) = self.regs.cmdq_indices();
            if stopped || prod.is_empty(cons) {
                return;
            }
            if prod.used_since(cons).is_none() {
                self.log(Violation::IndicesApart { offset: SMMU_CMDQ_PROD.offset() });
                return;
            }
            // Read anew every time: software may have repaired the slot of a command that was refused.
            let at = self.regs.cmdq_address() + u64::from(cons.index()) * CMD_BYTES;
            let words = mem.read64(Pa(at)).and_then(|dw0| Ok([dw0, mem.read64(Pa(at + 8))?]));
            let outcome = match words {
                Err(_) => Err(cerror::ABT),
                Ok(words) if self.must_wait(Command(words)) => return,
                Ok(words) if is_sync(Command(words)) && self.atc.take_failure() => Err(cerror::ATC_INV_SYNC),
                Ok(words) => self.execute(Command(words), mem, irq).map(|signal| (words, signal)).map_err(|Illegal| cerror::ILL),
            };
            match outcome {
                Ok((words, signal)) => {
                    self.regs.set_cmdq_cons(cons.next());
                    self.counters.commands += 1;
                    self.trace.push(Trace::Command(Command(words)));
                    if let Some(signal) = signal {
                        self.signal_sync(signal, mem, irq);
                    }
                }
                Err(cerror) => {
                    self.regs.set_cmdq_error(cerror);
                    self.trace.push(Trace::CommandError { cerror, index: cons.index() });
                    self.raise_error(GERROR::CMDQ_ERR::SET.value, mem, irq);
                    return;
                }
            }
        }
    }

    /// True if a command must wait: for completions of ATC invalidations, for room for one more of them, or for accesses by translations
    /// that are void by now.
    fn must_wait(&self, command: Command) -> bool {
        match command.opcode() {
            Opcode::SYNC => is_sync(command) && (self.atc.is_busy() || self.invalidated_since_sync && !self.ports_have_left()),
            Opcode::ATC_INV => self.atc.is_full(),
            _ => false,
        }
    }

    /// Executes one command; a CMD_SYNC gives its signal, to be sent once CMDQ_CONS has passed it.
    fn execute(&mut self, command: Command, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<Option<SyncSignal>, Illegal> {
        use Operation as O;
        if command.is_secure() {
            return Err(Illegal);
        }
        let need = |feature: bool| if feature { Ok(()) } else { Err(Illegal) };
        let may_stall = self.features.stall_model != StallModel::TerminateOnly;
        match command.decode() {
            O::PrefetchConfig { stream, substream } => self.prefetch(stream, substream, None, mem),
            O::PrefetchAddr { stream, substream, address, .. } => self.prefetch(stream, substream, Some(address), mem),
            O::CfgiSte { stream, leaf } => {
                self.check_ste_update(stream, leaf, mem);
                self.invalidate_ste(stream, leaf);
                self.invalidated_since_sync = true;
            }
            O::CfgiSteRange { stream, range } => {
                self.invalidate_ste_range(stream, range);
                self.invalidated_since_sync = true;
            }
            O::CfgiCd { stream, substream, leaf } => {
                need(self.features.s1p)?;
                self.check_cd_update(stream, substream, leaf, mem);
                self.invalidate_cd(stream, substream, leaf);
                self.invalidated_since_sync = true;
            }
            O::CfgiCdAll { stream } => {
                need(self.features.s1p)?;
                self.check_cd_updates(stream, mem);
                self.invalidate_cd_all(stream);
                self.invalidated_since_sync = true;
            }
            O::TlbiNhAll { vmid } => {
                need(self.features.s1p)?;
                self.invalidate_owner(world::EL1, vmid, Owner::All, command);
            }
            O::TlbiNhAsid { vmid, asid } => {
                need(self.features.s1p)?;
                self.invalidate_owner(world::EL1, vmid, Owner::Asid(asid), command);
            }
            O::TlbiNhVa { vmid, asid, range } => {
                need(self.features.s1p)?;
                self.invalidate_range(&ByAddress { world: world::EL1, vmid, owner: Owner::AsidOrGlobal(asid), range }, command)?;
            }
            O::TlbiNhVaa { vmid, range } => {
                need(self.features.s1p)?;
                self.invalidate_range(&ByAddress { world: world::EL1, vmid, owner: Owner::All, range }, command)?;
            }
            O::TlbiEl2All => {
                need(self.features.hyp)?;
                self.invalidate_owner(self.el2_world(), 0, Owner::All, command);
            }
            O::TlbiEl2Asid { asid } => {
                need(self.features.hyp)?;
                // Without E2H the EL2 world has no ASID.
                if self.el2_world() == world::EL2_E2H {
                    self.invalidate_owner(world::EL2_E2H, 0, Owner::Asid(asid), command);
                }
            }
            O::TlbiEl2Va { asid, range } => {
                need(self.features.hyp)?;
                let world = self.el2_world();
                let owner = if world == world::EL2_E2H { Owner::AsidOrGlobal(asid) } else { Owner::All };
                self.invalidate_range(&ByAddress { world, vmid: 0, owner, range }, command)?;
            }
            O::TlbiEl2Vaa { range } => {
                need(self.features.hyp)?;
                self.invalidate_range(&ByAddress { world: self.el2_world(), vmid: 0, owner: Owner::All, range }, command)?;
            }
            O::TlbiS12Vmall { vmid } => {
                need(self.features.s2p)?;
                self.invalidate_owner(world::EL1, vmid, Owner::All, command);
                self.invalidate_owner(world::STAGE2, vmid, Owner::All, command);
            }
            // Entries of both stages together may stay: software also invalidates stage 1.
            O::TlbiS2Ipa { vmid, range } => {
                need(self.features.s2p)?;
                self.invalidate_range(&ByAddress { world: world::STAGE2, vmid, owner: Owner::All, range }, command)?;
            }
            O::TlbiNsnhAll => self.invalidate_nsnh_all(),
            O::AtcInv { stream, substream, global, address, size } => {
                need(self.features.ats && size <= ATC_INV_EVERYTHING)?;
                if CR0::SMMUEN.is_set(self.regs.cr0ack) {
                    self.atc.push(AtcInvalidation { stream, substream, global, address, size });
                }
            }
            O::PriResp { stream, substream, prg_index, response } => {
                need(self.features.pri && response != PriResponse::Reserved)?;
                if CR0::SMMUEN.is_set(self.regs.cr0ack) {
                    self.respond(PageResponse { stream, substream, prg_index, response });
                }
            }
            O::Resume { stream, stag, action } => {
                need(may_stall)?;
                self.resume(StallTag { stream, stag }, action);
            }
            O::StallTerm { stream } => {
                need(may_stall)?;
                self.stalls.resolve_all(Verdict::Abort, |tag| tag.stream == stream);
                self.stalls.wake_held();
            }
            O::Sync(SyncSignal::Reserved) | O::Other(_) => return Err(Illegal),
            O::Sync(signal) => {
                self.complete_before_sync(mem, irq);
                return Ok(Some(signal));
            }
        }
        Ok(None)
    }

    fn prefetch(&mut self, stream: StreamId, substream: Option<SubstreamId>, address: Option<u64>, mem: &mut impl PhysMemory) {
        if !CR0::SMMUEN.is_set(self.regs.cr0ack) || !self.walker.retention.caches() {
            return;
        }
        let who = Requester { stream, substream, privileged: false };
        self.prefetch_route(who, address, mem);
    }

    fn invalidate_nsnh_all(&mut self) {
        for world in [world::EL1, world::STAGE2] {
            self.invalidate_tlb(&Scope { world, vmid: None, owner: Owner::All, addresses: None });
        }
    }

    /// The world that CMD_TLBI_EL2_* name.
    fn el2_world(&self) -> u8 {
        if CR2::E2H.is_set(self.regs.cr2) { world::EL2_E2H } else { world::EL2 }
    }

    fn resume(&mut self, tag: StallTag, action: ResumeAction) {
        let verdict = match action {
            ResumeAction::Retry => Verdict::Retry,
            ResumeAction::ReadZeroWriteIgnore if !self.features.term_model => Verdict::ReadZeroWriteIgnore,
            ResumeAction::Abort | ResumeAction::ReadZeroWriteIgnore => Verdict::Abort,
        };
        if !self.stalls.resolve(tag, verdict) {
            self.log(Violation::UnknownStall(tag));
        }
    }

    /// What must be done before CMD_SYNC completes. All earlier commands are: the model executes in order.
    fn complete_before_sync(&mut self, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        self.flush_stall_records(mem, irq);
        if core::mem::take(&mut self.invalidated_since_sync) {
            // A record that found no room may tell of configuration that is gone: drop it, the transaction is translated again.
            self.stalls.retry_waiting();
        }
    }

    /// Signals completion, after CMDQ_CONS has passed the command.
    fn signal_sync(&mut self, signal: SyncSignal, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        match signal {
            SyncSignal::Irq { address, data, .. } => {
                self.send_msi(MsiConfig { address, data, control: 0 }, GERROR::MSI_CMDQ_ABT_ERR::SET.value, mem, irq);
                irq.pulse(irq::CMDQ_SYNC);
            }
            SyncSignal::Sev if self.features.sev => {
                self.counters.sev += 1;
                self.sev_pending = true;
            }
            SyncSignal::Sev | SyncSignal::None | SyncSignal::Reserved => {}
        }
    }
}
