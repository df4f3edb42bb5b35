//! Address spaces: ASIDs, SubstreamIDs, and which table a SubstreamID of a stream uses.

use hal::{Clock, DmaMapper, Pa, RegisterWindow, StreamId, SubstreamId};
use smmu_spec::{command::Operation, descriptor::Granule};

use crate::cd_table::{CdTable, Slot, Tidied, Treatment, context, quiesced};
use crate::error::{SmmuError, TableField};
use crate::features::{Features, StallModel};
use crate::init::{Smmu, TableMemory};
use crate::stream::FaultModel;

/// A VMSAv8-64 stage-1 table, as a TTB0 register and its TCR describe it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableDescription {
    /// First byte of the start-level table.
    pub ttb0: Pa,
    /// 64 minus the number of input address bits.
    pub t0sz: u8,
    /// Granule.
    pub granule: Granule,
    /// Output address size code, as in TCR_EL1.IPS and IDR5.OAS; at most OAS.
    pub ips: u8,
    /// The eight memory attributes, as in MAIR_EL1.
    pub mair: u64,
    /// The address space's ASID. One ASID denotes one table, on every stream and on the CPU.
    pub asid: u16,
}

impl TableDescription {
    /// Checks the description against what the SMMU can walk.
    pub(crate) fn check(&self, features: &Features) -> Result<(), SmmuError> {
        let bad = |field| Err(SmmuError::BadTable(field));
        if !features.has_granule(self.granule) {
            return bad(TableField::Granule);
        }
        let is_64k = self.granule == Granule::Kib64;
        let least = if features.has_wide_va && is_64k { 12 } else { 16 };
        let most = match (features.has_small_tables, is_64k) {
            (false, _) => 39,
            (true, false) => 48,
            (true, true) => 47,
        };
        if !(least..=most).contains(&self.t0sz) {
            return bad(TableField::T0sz);
        }
        if self.ips > features.oas_code || self.ips > 6 {
            return bad(TableField::OutputSize);
        }
        let input_bits = 64 - u32::from(self.t0sz);
        let start = self.granule.level_shift(self.granule.start_level(input_bits));
        let table_bytes = (8_u64 << input_bits.saturating_sub(start)).max(64);
        let output_bits = smmu_spec::regs::address_bits(u32::from(self.ips));
        // Small granules reach 48 bits.
        let output_bits = if is_64k { output_bits } else { output_bits.min(48) };
        if !self.ttb0.is_aligned(table_bytes) || self.ttb0.0 >> output_bits != 0 {
            return bad(TableField::Ttb0);
        }
        if features.asid_bits < 16 && self.asid > 0xff {
            return bad(TableField::Asid);
        }
        Ok(())
    }
}

/// An ASID in use, and what it denotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Space {
    pub(crate) asid: u16,
    pub(crate) ttb0: Pa,
    pub(crate) granule: Granule,
    /// Contexts that use it.
    pub(crate) users: u32,
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Hands out a SubstreamID, for one process on all its streams. Never 0: that is the kernel's.
    ///
    /// # Errors
    /// `NoIdentifiers`.
    pub fn allocate_substream(&mut self) -> Result<SubstreamId, SmmuError> {
        self.substreams.take().map(SubstreamId).ok_or(SmmuError::NoIdentifiers)
    }

    /// Takes a SubstreamID that somebody else chose, as `allocate_substream` takes its own: of a process that works behind several SMMUs under one
    /// number. Any that the tables reach; up to 256 of 16,384 and more at a time. A stream holds contexts in 16 blocks of 1,024 at a time.
    ///
    /// # Errors
    /// `SubstreamOutOfRange`, `SubstreamBusy` if it is in use, `NoRoom`.
    pub fn claim_substream(&mut self, substream: SubstreamId) -> Result<(), SmmuError> {
        self.substreams.claim(substream)
    }

    /// Takes a SubstreamID back. It must be unbound everywhere, which includes that its faults were flushed.
    ///
    /// # Errors
    /// `SubstreamBusy` while it is bound, `NotBound` if it was not handed out.
    pub fn free_substream(&mut self, substream: SubstreamId) -> Result<(), SmmuError> {
        let bound = |cds: &CdTable<M::Buffer>| cds.slot(substream) != Slot::Empty;
        if self.streams.iter().any(|s| s.contexts().is_some_and(bound)) {
            return Err(SmmuError::SubstreamBusy(substream));
        }
        if self.substreams.give_back(substream.0) { Ok(()) } else { Err(SmmuError::NotBound(substream)) }
    }

    /// Hands out an ASID that no context uses. The TLB holds nothing of it.
    ///
    /// # Errors
    /// `NoIdentifiers`.
    pub fn allocate_asid(&mut self) -> Result<u16, SmmuError> {
        self.asids.take().map(|n| n as u16).ok_or(SmmuError::NoIdentifiers)
    }

    /// Takes an ASID back, and drops what the TLB still holds of it: a CPU-side user may have had it walked without a context of ours.
    ///
    /// # Errors
    /// `AsidInUse` while a context uses it or if it was not handed out; else what the invalidation returns, and the ASID stays taken.
    pub fn free_asid(&mut self, asid: u16) -> Result<(), SmmuError> {
        if self.space(asid).is_some() || !self.asids.is_taken(u32::from(asid)) {
            return Err(SmmuError::AsidInUse(asid));
        }
        self.invalidate_asid(asid)?;
        self.asids.give_back(u32::from(asid));
        Ok(())
    }

    pub(crate) fn space(&self, asid: u16) -> Option<&Space> {
        self.spaces.iter().find(|s| s.asid == asid)
    }

    /// Notes one more context of the table.
    pub(crate) fn enter_space(&mut self, table: &TableDescription) -> Result<(), SmmuError> {
        if !self.asids.is_taken(u32::from(table.asid)) {
            return Err(SmmuError::AsidInUse(table.asid));
        }
        match self.spaces.iter_mut().find(|s| s.asid == table.asid) {
            Some(space) if space.ttb0 == table.ttb0 && space.granule == table.granule => {
                space.users += 1;
                Ok(())
            }
            Some(_) => Err(SmmuError::AsidInUse(table.asid)),
            None => {
                let space = Space { asid: table.asid, ttb0: table.ttb0, granule: table.granule, users: 1 };
                self.spaces.push(space).map_err(|_| SmmuError::NoRoom)
            }
        }
    }

    /// Notes one context less.
    pub(crate) fn leave_space(&mut self, asid: u16) {
        if let Some(at) = self.spaces.iter().position(|s| s.asid == asid) {
            self.spaces[at].users -= 1;
            if self.spaces[at].users == 0 {
                self.spaces.swap_remove(at);
            }
        }
    }

    pub(crate) fn treatment(&self, stall: bool, private_asid: bool) -> Treatment {
        Treatment { stall, private_asid, cacheable: self.config.memory == TableMemory::Cacheable }
    }

    /// Lets transactions of `stream` that carry `substream` be translated by `table` (shared virtual addressing). Faults do as the stream was
    /// attached for.
    ///
    /// # Errors
    /// `NoSuchStream`, `SubstreamOutOfRange`, `SubstreamBusy`, `BadTable`, `AsidInUse`, `NoRoom`, `Memory`; or a failure of the command queue.
    pub fn bind(&mut self, stream: StreamId, substream: SubstreamId, table: &TableDescription) -> Result<(), SmmuError> {
        let stall = self.streams[self.translating(stream)?].stall;
        self.bind_context(stream, substream, table, self.treatment(stall, false))
    }

    /// As [`bind`](Self::bind) for a table that no CPU uses, built by the caller for the device alone; several may be bound on one stream.
    /// Its faults do as `faults` says.
    ///
    /// # Errors
    /// As [`bind`](Self::bind); `NoStall` unless the stream was attached for stalls.
    pub fn bind_domain(
        &mut self,
        stream: StreamId,
        substream: SubstreamId,
        table: &TableDescription,
        faults: FaultModel,
    ) -> Result<(), SmmuError> {
        let may_stall = self.streams[self.translating(stream)?].stall;
        if faults == FaultModel::Stall && !may_stall {
            return Err(SmmuError::NoStall);
        }
        let stall = faults == FaultModel::Stall || self.features.stall_model == StallModel::StallOnly;
        self.bind_context(stream, substream, table, self.treatment(stall, true))
    }

    fn bind_context(
        &mut self,
        stream: StreamId,
        substream: SubstreamId,
        table: &TableDescription,
        how: Treatment,
    ) -> Result<(), SmmuError> {
        table.check(&self.features)?;
        let at = self.translating(stream)?;
        let contexts = self.streams[at].contexts_mut().ok_or(SmmuError::NoSuchStream(stream))?;
        if substream.0 == 0 || contexts.substream_bits() == 0 || !contexts.covers(substream) || !self.substreams.is_taken(substream.0) {
            return Err(SmmuError::SubstreamOutOfRange(substream));
        }
        if contexts.slot(substream) != Slot::Empty {
            return Err(SmmuError::SubstreamBusy(substream));
        }
        contexts.ensure(&self.port, Some((&mut self.commands, stream)), substream)?;
        self.enter_space(table)?;
        if self.streams[at].ats.is_some()
            && let Err(error) = self.note_ats(stream, Some(substream), table.asid)
        {
            self.leave_space(table.asid);
            return Err(error);
        }
        let contexts = self.streams[at].contexts().ok_or(SmmuError::NoSuchStream(stream))?;
        if let Err(error) = contexts.set(&self.port, &mut self.commands, stream, substream, &context(table, how)) {
            if contexts.slot(substream) == Slot::Empty {
                self.forget_ats(stream, Some(substream));
                self.leave_space(table.asid);
            } else {
                self.streams[at].bound += 1;
            }
            return Err(error);
        }
        self.streams[at].bound += 1;
        Ok(())
    }

    /// Ends translation by the table of `substream` without freeing the SubstreamID: late traffic aborts quietly. When this returns the SMMU
    /// neither walks the table nor holds anything of it, and its stalls are aborted: the table's memory may go. Calling it twice is harmless.
    ///
    /// # Errors
    /// `NoSuchStream`, `NotBound`, `NoRoom` (events wait to be fetched); or a failure of the command queue.
    pub fn quiesce(&mut self, stream: StreamId, substream: SubstreamId) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        let stall_model = self.features.stall_model;
        let contexts = self.streams[at].contexts().ok_or(SmmuError::NoSuchStream(stream))?;
        let asid = match contexts.slot(substream) {
            Slot::Live { asid } if substream.0 != 0 => {
                let live = contexts.read(substream);
                let quiet = quiesced(&live, stall_model);
                // From its first step on nobody walks the table: what is left of it in the context goes with the invalidation's own CMD_SYNC.
                contexts.change(&self.port, &mut self.commands, (stream, substream), &live, &quiet, Tidied::ByTheNextSync)?;
                asid
            }
            Slot::Quiesced { asid } => asid,
            _ => return Err(SmmuError::NotBound(substream)),
        };
        self.commands.push(&self.port, Operation::TlbiNhAsid { vmid: 0, asid })?;
        self.commands.sync(&self.port)?;
        self.invalidate_devices(asid, None)?;
        self.flush_faults()?;
        self.flush_page_requests()
    }

    /// Takes the table of `substream` away: [`quiesce`](Self::quiesce), then no context at all (C_BAD_CD for late traffic).
    /// The device must have been stopped. Afterwards table, ASID and SubstreamID may be reused.
    ///
    /// # Errors
    /// As [`quiesce`](Self::quiesce). The call may be repeated.
    pub fn unbind(&mut self, stream: StreamId, substream: SubstreamId) -> Result<(), SmmuError> {
        self.quiesce(stream, substream)?;
        let at = self.position(stream)?;
        let contexts = self.streams[at].contexts().ok_or(SmmuError::NoSuchStream(stream))?;
        let Slot::Quiesced { asid } = contexts.slot(substream) else { return Err(SmmuError::NotBound(substream)) };
        contexts.set(&self.port, &mut self.commands, stream, substream, &[0; 8])?;
        self.forget_ats(stream, Some(substream));
        self.streams[at].bound -= 1;
        self.leave_space(asid);
        Ok(())
    }
}
