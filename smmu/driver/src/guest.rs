//! Guests: VMIDs, streams that go through a guest's stage 2, and the invalidations that both owners of a nested stream need.

use hal::{Clock, DmaMapper, Ipa, RegisterWindow, StreamId};
use smmu_spec::{
    command::{Leaf, Operation, SyncSignal, TlbiRange},
    descriptor::Granule,
};

use crate::error::SmmuError;
use crate::features::{Features, StallModel};
use crate::init::{Smmu, TableMemory};
use crate::stage2::{GuestContexts, Stage2Description, Stage2Treatment};
use crate::stream::{FaultModel, Route, Stream};

/// A VMID in use, and what it denotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Guest {
    pub(crate) table: Stage2Description,
    /// Streams that use it.
    users: u32,
}

/// SCALE values that name a range at all.
const MAX_SCALE: u8 = 39;

/// True for a form that no SMMU of these features calls illegal or unpredictable.
fn is_sound(range: &TlbiRange, features: &Features) -> bool {
    let granule = match range.tg {
        0 => return range.num == 0 && range.scale == 0 && range.ttl == 0,
        1 => Granule::Kib4,
        2 => Granule::Kib16,
        _ => Granule::Kib64,
    };
    // Level 1 of 16 KiB granules has no leaves: the hint counts as none.
    let has_level = range.ttl != 0 && !(granule == Granule::Kib16 && range.ttl == 1);
    features.has_range_invalidation
        && features.has_granule(granule)
        && range.num < 32
        && range.scale <= MAX_SCALE
        && (range.num != 0 || range.scale != 0 || has_level)
        && range.address & ((1 << granule.shift()) - 1) == 0
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Hands out a VMID that no stream uses. Never 0: that tags streams of stage 1 alone. The TLB holds nothing of it.
    ///
    /// # Errors
    /// `NoIdentifiers`; always without stage 2.
    pub fn allocate_vmid(&mut self) -> Result<u16, SmmuError> {
        self.vmids.take().map(|n| n as u16).ok_or(SmmuError::NoIdentifiers)
    }

    /// Takes a VMID back, and drops what the TLB still holds of it.
    ///
    /// # Errors
    /// `VmidInUse` while a stream uses it or if it was not handed out; else what the invalidation returns, and the VMID stays taken.
    pub fn free_vmid(&mut self, vmid: u16) -> Result<(), SmmuError> {
        if self.guest(vmid).is_some() || !self.vmids.is_taken(u32::from(vmid)) {
            return Err(SmmuError::VmidInUse(vmid));
        }
        self.invalidate_guest(vmid)?;
        self.vmids.give_back(u32::from(vmid));
        Ok(())
    }

    pub(crate) fn guest(&self, vmid: u16) -> Option<&Guest> {
        self.guests.iter().find(|g| g.table.vmid == vmid)
    }

    fn enter_guest(&mut self, table: &Stage2Description) -> Result<(), SmmuError> {
        if !self.vmids.is_taken(u32::from(table.vmid)) {
            return Err(SmmuError::VmidInUse(table.vmid));
        }
        match self.guests.iter_mut().find(|g| g.table.vmid == table.vmid) {
            Some(guest) if guest.table == *table => {
                guest.users += 1;
                Ok(())
            }
            Some(_) => Err(SmmuError::VmidInUse(table.vmid)),
            None => self.guests.push(Guest { table: *table, users: 1 }).map_err(|_| SmmuError::NoRoom),
        }
    }

    /// Notes one stream less.
    pub(crate) fn leave_guest(&mut self, vmid: u16) {
        if let Some(at) = self.guests.iter().position(|g| g.table.vmid == vmid) {
            self.guests[at].users -= 1;
            if self.guests[at].users == 0 {
                self.guests.swap_remove(at);
            }
        }
    }

    /// Lets the traffic of `stream` be translated by a guest's stage 2 alone: what a device that is passed through needs. `faults` says what
    /// transactions do that stage 2 refuses; they are reported. A stream that passes or aborts changes without a gap.
    ///
    /// # Errors
    /// `NoStage2`, `StreamOutOfRange`, `StreamBusy`, `BadTable`, `NoStall`, `VmidInUse`, `NoRoom`, `Memory`; or a failure of the command
    /// queue, after which the stream may still translate: call [`detach`](Self::detach).
    pub fn attach_stage2(&mut self, stream: StreamId, table: &Stage2Description, faults: FaultModel) -> Result<(), SmmuError> {
        self.attach_guest(stream, table, None, faults)
    }

    /// Lets the traffic of `stream` be translated by the guest's own stage 1, whose tables lie at intermediate addresses, then by stage 2.
    /// `faults` is about stage 2; what stage 1 does is the guest's choice within [`GuestContexts::may_stall`].
    ///
    /// # Errors
    /// As [`attach_stage2`](Self::attach_stage2).
    pub fn attach_nested(
        &mut self,
        stream: StreamId,
        table: &Stage2Description,
        contexts: &GuestContexts,
        faults: FaultModel,
    ) -> Result<(), SmmuError> {
        self.attach_guest(stream, table, Some(*contexts), faults)
    }

    fn attach_guest(
        &mut self,
        stream: StreamId,
        table: &Stage2Description,
        contexts: Option<GuestContexts>,
        faults: FaultModel,
    ) -> Result<(), SmmuError> {
        if !self.features.has_stage2 {
            return Err(SmmuError::NoStage2);
        }
        table.check(&self.features)?;
        if let Some(contexts) = &contexts {
            contexts.check(table, &self.features)?;
        }
        self.check_free(stream)?;
        let model = self.features.stall_model;
        if faults == FaultModel::Stall && !model.can_stall() {
            return Err(SmmuError::NoStall);
        }
        self.make_entry(stream)?;
        self.enter_guest(table)?;
        let stage2_stalls = faults == FaultModel::Stall || model == StallModel::StallOnly;
        let stall = stage2_stalls || contexts.is_some_and(|c| c.may_stall);
        self.install(Stream { stall, ..Stream::new(stream, Route::Guest { table: *table, contexts, stage2_stalls }) })
    }

    /// What an STE with stage 2 says beside its tables.
    pub(crate) fn stage2_treatment(&self, stage2_stalls: bool) -> Stage2Treatment {
        Stage2Treatment {
            stall: stage2_stalls,
            contexts_choose: self.features.stall_model == StallModel::StallOrTerminate,
            cacheable: self.config.memory == TableMemory::Cacheable,
        }
    }

    /// Follows a guest that has written another Stream table entry: `None` for one whose stage 1 bypasses. Hitless where one word of the
    /// entry changes. What the TLB holds of the guest's stage 1 is dropped.
    ///
    /// # Errors
    /// `NoSuchStream` unless it goes through stage 2, `BadTable`, `NoStall`; or a failure of the command queue.
    pub fn replace_guest_contexts(&mut self, stream: StreamId, contexts: Option<&GuestContexts>) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        let Route::Guest { table, stage2_stalls, .. } = self.streams[at].route else { return Err(SmmuError::NoSuchStream(stream)) };
        if let Some(contexts) = contexts {
            contexts.check(&table, &self.features)?;
        }
        self.streams[at].route = Route::Guest { table, contexts: contexts.copied(), stage2_stalls };
        self.streams[at].stall = stage2_stalls || contexts.is_some_and(|c| c.may_stall);
        if !self.streams[at].blocked {
            self.write_entry(at)?;
        }
        self.commands.push(&self.port, Operation::TlbiNhAll { vmid: table.vmid })?;
        self.commands.sync(&self.port)
    }

    /// Drops the translations of `[ipa, ipa + len_bytes)` of a guest's stage 2, and all of its stage 1, which the SMMU may keep combined with
    /// them. When this returns no transaction uses them any more.
    ///
    /// `Leaf::Only` suffices after pages were unmapped or changed; `Leaf::AllLevels` before a table page is freed.
    ///
    /// # Errors
    /// `NoStage2`; or a failure of the command queue: the memory behind the range must then not be reused.
    pub fn invalidate_ipa(&mut self, vmid: u16, ipa: Ipa, len_bytes: u64, leaf: Leaf) -> Result<(), SmmuError> {
        if len_bytes == 0 {
            return Ok(());
        }
        if !self.features.has_stage2 {
            return Err(SmmuError::NoStage2);
        }
        let granule = self.guest(vmid).map_or(self.config.granule, |g| g.table.granule);
        let page = 1_u64 << granule.shift();
        let first = ipa.align_down(page).0;
        let Some(pages) = ipa.0.checked_add(len_bytes - 1).map(|last| (last - first) / page + 1) else {
            return self.invalidate_guest(vmid);
        };
        self.push_invalidation(
            granule,
            first,
            pages,
            leaf,
            |range| Operation::TlbiS2Ipa { vmid, range },
            Operation::TlbiS12Vmall { vmid },
        )?;
        // Stage 1 after stage 2, or a combined entry could be made again from what stage 2 still holds.
        self.commands.sync(&self.port)?;
        self.commands.push(&self.port, Operation::TlbiNhAll { vmid })?;
        self.commands.sync(&self.port)
    }

    /// Drops every translation of a guest, of both stages.
    ///
    /// # Errors
    /// `NoStage2`; or a failure of the command queue.
    pub fn invalidate_guest(&mut self, vmid: u16) -> Result<(), SmmuError> {
        if !self.features.has_stage2 {
            return Err(SmmuError::NoStage2);
        }
        self.commands.push(&self.port, Operation::TlbiS12Vmall { vmid })?;
        self.commands.sync(&self.port)
    }

    /// Executes commands that a guest gave to the SMMU it believes to own: invalidations of its stage 1 and of its contexts, on its own streams.
    /// VMIDs are replaced by the guest's; StreamIDs are the real ones. A CMD_SYNC is implied at the end. Returns once all have taken effect.
    ///
    /// # Errors
    /// `NotForGuests` with the position of the first command that a guest may not give; those before it have been executed.
    /// `NoStage2`, `VmidInUse` if no stream of this VMID is attached; or a failure of the command queue.
    pub fn execute_for_guest(&mut self, vmid: u16, commands: &[Operation]) -> Result<(), SmmuError> {
        if self.guest(vmid).is_none() {
            return Err(if self.features.has_stage2 { SmmuError::VmidInUse(vmid) } else { SmmuError::NoStage2 });
        }
        for (at, command) in commands.iter().enumerate() {
            match (*command, self.for_guest(vmid, *command)) {
                (_, Some(command)) => self.commands.push(&self.port, command)?,
                // What stands behind it may count on what stands before it.
                (Operation::Sync(signal), None) if signal != SyncSignal::Reserved => self.commands.sync(&self.port)?,
                _ => {
                    self.commands.sync(&self.port)?;
                    return Err(SmmuError::NotForGuests(at));
                }
            }
        }
        self.commands.sync(&self.port)
    }

    /// The command as the guest's may be executed.
    fn for_guest(&self, vmid: u16, command: Operation) -> Option<Operation> {
        use Operation as O;
        let owns = |stream: StreamId| {
            let is_nested = |s: &Stream<M::Buffer>| matches!(&s.route, Route::Guest { table, contexts: Some(_), .. } if table.vmid == vmid);
            self.streams.iter().any(|s| s.id == stream && is_nested(s))
        };
        let sound = |range: &TlbiRange| is_sound(range, &self.features);
        match command {
            O::TlbiNhAll { .. } => Some(O::TlbiNhAll { vmid }),
            O::TlbiNhAsid { asid, .. } if self.has_asid(asid) => Some(O::TlbiNhAsid { vmid, asid }),
            O::TlbiNhVa { asid, range, .. } if self.has_asid(asid) && sound(&range) => Some(O::TlbiNhVa { vmid, asid, range }),
            O::TlbiNhVaa { range, .. } if sound(&range) => Some(O::TlbiNhVaa { vmid, range }),
            O::CfgiCd { stream, .. } | O::CfgiCdAll { stream } if owns(stream) => Some(command),
            _ => None,
        }
    }

    /// True if the SMMU knows ASIDs this wide: others make an invalidation do nothing.
    const fn has_asid(&self, asid: u16) -> bool {
        self.features.asid_bits == 16 || asid <= 0xff
    }
}
