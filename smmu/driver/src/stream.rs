//! Streams: which device's traffic is translated, passed or aborted.

use hal::{Clock, DmaMapper, RegisterWindow, StreamId, SubstreamId};
use smmu_spec::command::Operation;

use crate::ats::AtsOptions;
use crate::cd_table::{CdTable, context};
use crate::error::SmmuError;
use crate::features::StallModel;
use crate::init::{Smmu, TableMemory};
use crate::space::TableDescription;
use crate::stream_table::{Stage1, abort, bypass};

/// What a faulting transaction of a SubstreamID does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultModel {
    /// It ends with an abort.
    Terminate,
    /// It waits for [`resume`](Smmu::resume): needed where pages are mapped on demand.
    Stall,
}

/// An attached stream.
pub(crate) struct Stream<B> {
    pub(crate) id: StreamId,
    /// `None` for a stream that bypasses.
    pub(crate) contexts: Option<CdTable<B>>,
    /// Contexts of SubstreamIDs stall.
    pub(crate) stall: bool,
    /// Its STE aborts for the time being.
    pub(crate) blocked: bool,
    /// SubstreamIDs bound, quiesced ones included.
    pub(crate) bound: u32,
    pub(crate) kernel_asid: Option<u16>,
    /// The device keeps translations.
    pub(crate) ats: Option<AtsOptions>,
}

const KERNEL: SubstreamId = SubstreamId(0);

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    pub(crate) fn position(&self, stream: StreamId) -> Result<usize, SmmuError> {
        self.streams.iter().position(|s| s.id == stream).ok_or(SmmuError::NoSuchStream(stream))
    }

    /// The position of a stream that translates now.
    pub(crate) fn translating(&self, stream: StreamId) -> Result<usize, SmmuError> {
        let at = self.position(stream)?;
        if self.streams[at].contexts.is_none() || self.streams[at].blocked { Err(SmmuError::NoSuchStream(stream)) } else { Ok(at) }
    }

    /// Lets the traffic of `stream` that carries no SubstreamID be translated by `kernel`, the device's own DMA table (context 0).
    /// Its faults terminate and are reported. `faults` says what transactions of bound SubstreamIDs will do.
    ///
    /// # Errors
    /// `StreamOutOfRange`, `StreamBusy`, `BadTable`, `NoStall`, `AsidInUse`, `NoRoom`, `Memory`; or a failure of the command queue, after
    /// which the stream may still translate: call [`detach`](Self::detach).
    pub fn attach(&mut self, stream: StreamId, kernel: &TableDescription, faults: FaultModel) -> Result<(), SmmuError> {
        kernel.check(&self.features)?;
        self.check_free(stream)?;
        let model = self.features.stall_model;
        if faults == FaultModel::Stall && !model.can_stall() {
            return Err(SmmuError::NoStall);
        }
        let stall = faults == FaultModel::Stall || model == StallModel::StallOnly;
        let cd = context(kernel, self.treatment(model == StallModel::StallOnly, true));
        self.table.ensure(&self.port, &mut self.commands, stream)?;
        self.enter_space(kernel)?;
        let contexts = match self.first_context(&cd) {
            Ok(contexts) => contexts,
            Err(error) => {
                self.leave_space(kernel.asid);
                return Err(error);
            }
        };
        let entry =
            Stream { id: stream, contexts: Some(contexts), stall, blocked: false, bound: 0, kernel_asid: Some(kernel.asid), ats: None };
        // There is room: check_free has looked.
        let _ = self.streams.push(entry);
        self.write_entry(self.position(stream)?)
    }

    /// Writes the STE of an attached stream as its description asks.
    pub(crate) fn write_entry(&mut self, at: usize) -> Result<(), SmmuError> {
        let entry = &self.streams[at];
        let ste = match &entry.contexts {
            Some(contexts) => Stage1 {
                context_pointer: contexts.pointer(),
                format: contexts.format(),
                substream_bits: contexts.substream_bits(),
                cacheable: self.config.memory == TableMemory::Cacheable,
                never_stalls: self.features.stall_model == StallModel::StallOrTerminate && !entry.stall,
                ats: entry.ats,
            }
            .ste(),
            None => bypass(),
        };
        self.table.set(&self.port, &mut self.commands, entry.id, &ste)?;
        Ok(())
    }

    fn first_context(&self, cd: &crate::entry::Words) -> Result<CdTable<M::Buffer>, SmmuError> {
        let mut contexts = CdTable::new(&self.port.memory, &self.features)?;
        match contexts.ensure(&self.port, None, KERNEL).and_then(|()| contexts.prepare(KERNEL, cd)) {
            Ok(()) => Ok(contexts),
            Err(error) => {
                contexts.free(&self.port.memory);
                Err(error)
            }
        }
    }

    /// Lets the traffic of `stream` pass untranslated.
    ///
    /// # Errors
    /// `StreamOutOfRange`, `StreamBusy`, `NoRoom`, `Memory`; or a failure of the command queue.
    pub fn attach_bypass(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        self.check_free(stream)?;
        self.table.ensure(&self.port, &mut self.commands, stream)?;
        let entry = Stream { id: stream, contexts: None, stall: false, blocked: false, bound: 0, kernel_asid: None, ats: None };
        let _ = self.streams.push(entry);
        self.table.set(&self.port, &mut self.commands, stream, &bypass())?;
        Ok(())
    }

    fn check_free(&self, stream: StreamId) -> Result<(), SmmuError> {
        if !self.table.covers(stream) {
            return Err(SmmuError::StreamOutOfRange(stream));
        }
        if self.position(stream).is_ok() {
            return Err(SmmuError::StreamBusy(stream));
        }
        if self.streams.is_full() { Err(SmmuError::NoRoom) } else { Ok(()) }
    }

    /// Gives the traffic without SubstreamID another table. The device must be idle: one context cannot change its table without a moment of
    /// C_BAD_CD. Both ASIDs are dropped from the TLB.
    ///
    /// # Errors
    /// `NoSuchStream`, `BadTable`, `AsidInUse`, `NoRoom`; or a failure of the command queue.
    pub fn replace_kernel_table(&mut self, stream: StreamId, kernel: &TableDescription) -> Result<(), SmmuError> {
        kernel.check(&self.features)?;
        let at = self.translating(stream)?;
        let cd = context(kernel, self.treatment(self.features.stall_model == StallModel::StallOnly, true));
        let old = self.streams[at].kernel_asid;
        if old == Some(kernel.asid) {
            // The same ASID may denote the new table only once nobody else uses it for the old one.
            match self.spaces.iter_mut().find(|s| s.asid == kernel.asid) {
                Some(space) if space.users == 1 => (space.ttb0, space.granule) = (kernel.ttb0, kernel.granule),
                _ => return Err(SmmuError::AsidInUse(kernel.asid)),
            }
        } else {
            self.enter_space(kernel)?;
            self.streams[at].kernel_asid = Some(kernel.asid);
        }
        let has_ats = self.streams[at].ats.is_some();
        let contexts = self.streams[at].contexts.as_ref().ok_or(SmmuError::NoSuchStream(stream))?;
        contexts.set(&self.port, &mut self.commands, stream, KERNEL, &cd)?;
        if let Some(asid) = old {
            self.invalidate_asid(asid)?;
            if asid != kernel.asid {
                self.leave_space(asid);
            }
        }
        if has_ats {
            self.note_ats(stream, None, kernel.asid)?;
        }
        self.invalidate_asid(kernel.asid)
    }

    /// Aborts all traffic of `stream` from now on and answers its stalls with an abort: what precedes resetting a device that misbehaves.
    /// [`unblock`](Self::unblock) undoes it. Calling it twice is harmless.
    ///
    /// # Errors
    /// `NoSuchStream`, `NoRoom` (events wait to be fetched); or a failure of the command queue.
    pub fn block(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        self.table.set(&self.port, &mut self.commands, stream, &abort())?;
        self.streams[at].blocked = true;
        if self.streams[at].stall {
            self.stall_terminate(stream)?;
        }
        Ok(())
    }

    /// Terminates every stalled transaction of a blocked stream (CMD_STALL_TERM) and discards what is known of its stalls.
    ///
    /// # Errors
    /// `NotBlocked`: new stalls could slip in. `NoStall`, `NoSuchStream`, `NoRoom` (events wait to be fetched); or a failure of the command queue.
    pub fn stall_terminate(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        if !self.features.stall_model.can_stall() {
            return Err(SmmuError::NoStall);
        }
        if !self.streams[at].blocked {
            return Err(SmmuError::NotBlocked(stream));
        }
        self.commands.push(&self.port, Operation::StallTerm { stream })?;
        self.commands.sync(&self.port)?;
        // Their tags are free now: nobody may answer them any more.
        self.stalls.retain(|s| s.ticket.tag.stream != stream);
        self.flush_faults()
    }

    /// Lets a blocked stream translate again.
    ///
    /// # Errors
    /// `NoSuchStream`; or a failure of the command queue.
    pub fn unblock(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        self.write_entry(at)?;
        self.streams[at].blocked = false;
        Ok(())
    }

    /// Aborts all traffic of `stream` and forgets it. Its SubstreamIDs must have been unbound.
    ///
    /// # Errors
    /// `NoSuchStream`, `StreamBound`, `NoRoom` (events wait to be fetched); or a failure of the command queue. The call may be repeated.
    pub fn detach(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let at = self.position(stream)?;
        if self.streams[at].bound > 0 {
            return Err(SmmuError::StreamBound(stream));
        }
        self.block(stream)?;
        if let Some(asid) = self.streams[at].kernel_asid {
            self.invalidate_asid(asid)?;
            self.leave_space(asid);
        }
        self.ats.retain(|b| !b.is_of(stream));
        if let Some(contexts) = self.streams.swap_remove(at).contexts {
            contexts.free(&self.port.memory);
        }
        Ok(())
    }
}
