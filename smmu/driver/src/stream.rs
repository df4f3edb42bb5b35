//! Streams: which device's traffic is translated, passed or aborted.

use hal::{Clock, DmaMapper, RegisterWindow, StreamId, SubstreamId};
use smmu_spec::command::Operation;

use crate::ats::AtsOptions;
use crate::cd_table::{CdTable, context};
use crate::entry::Words;
use crate::error::SmmuError;
use crate::features::StallModel;
use crate::init::{Smmu, TableMemory};
use crate::reports::Reports;
use crate::space::TableDescription;
use crate::stage2::{self, GuestContexts, Stage2Description, Untagged};
use crate::stream_table::{Stage1, abort, bypass};

/// What a faulting transaction of a SubstreamID does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultModel {
    /// It ends with an abort.
    Terminate,
    /// It waits for [`resume`](Smmu::resume): needed where pages are mapped on demand.
    Stall,
}

/// What happens to an attached stream's traffic.
pub(crate) enum Route<B> {
    /// It is aborted.
    Abort,
    /// It passes.
    Bypass,
    /// Stage 1, by contexts of the driver.
    Contexts { table: CdTable<B>, untagged: Untagged },
    /// A guest's stage 2, below its own stage 1 if it has one.
    Guest { table: Stage2Description, contexts: Option<GuestContexts>, stage2_stalls: bool },
}

/// An attached stream.
pub(crate) struct Stream<B> {
    pub(crate) id: StreamId,
    pub(crate) route: Route<B>,
    /// Some of its transactions may stall.
    pub(crate) stall: bool,
    /// Its STE aborts for the time being.
    pub(crate) blocked: bool,
    /// SubstreamIDs bound, quiesced ones included.
    pub(crate) bound: u32,
    pub(crate) kernel_asid: Option<u16>,
    /// The device keeps translations.
    pub(crate) ats: Option<AtsOptions>,
    pub(crate) reports: Reports,
}

impl<B> Stream<B> {
    pub(crate) fn new(id: StreamId, route: Route<B>) -> Self {
        Self { id, route, stall: false, blocked: false, bound: 0, kernel_asid: None, ats: None, reports: Reports::default() }
    }

    /// The contexts that the driver keeps for it.
    pub(crate) const fn contexts(&self) -> Option<&CdTable<B>> {
        match &self.route {
            Route::Contexts { table, .. } => Some(table),
            _ => None,
        }
    }

    /// As [`contexts`](Self::contexts).
    pub(crate) const fn contexts_mut(&mut self) -> Option<&mut CdTable<B>> {
        match &mut self.route {
            Route::Contexts { table, .. } => Some(table),
            _ => None,
        }
    }

    const fn is_untranslated(&self) -> bool {
        matches!(self.route, Route::Abort | Route::Bypass)
    }
}

const KERNEL: SubstreamId = SubstreamId(0);

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    pub(crate) fn position(&self, stream: StreamId) -> Result<usize, SmmuError> {
        self.streams.iter().position(|s| s.id == stream).ok_or(SmmuError::NoSuchStream(stream))
    }

    /// The position of a stream that translates now.
    pub(crate) fn translating(&self, stream: StreamId) -> Result<usize, SmmuError> {
        let at = self.position(stream)?;
        if self.streams[at].contexts().is_none() || self.streams[at].blocked { Err(SmmuError::NoSuchStream(stream)) } else { Ok(at) }
    }

    /// Lets the traffic of `stream` that carries no SubstreamID be translated by `kernel`, the device's own DMA table (context 0).
    /// Its faults terminate and are reported. `faults` says what transactions of bound SubstreamIDs will do.
    /// A stream that passes or aborts changes without a gap.
    ///
    /// # Errors
    /// `StreamOutOfRange`, `StreamBusy`, `BadTable`, `NoStall`, `AsidInUse`, `NoRoom`, `Memory`; or a failure of the command queue, after
    /// which the stream may still translate: call [`detach`](Self::detach).
    pub fn attach(&mut self, stream: StreamId, kernel: &TableDescription, faults: FaultModel) -> Result<(), SmmuError> {
        kernel.check(&self.features)?;
        self.check_free(stream)?;
        let stall = self.stalls_as(faults)?;
        let cd = context(kernel, self.treatment(self.features.stall_model == StallModel::StallOnly, true));
        self.make_entry(stream)?;
        self.enter_space(kernel)?;
        let table = match self.first_context(&cd) {
            Ok(table) => table,
            Err(error) => {
                self.leave_space(kernel.asid);
                return Err(error);
            }
        };
        let route = Route::Contexts { table, untagged: Untagged::Table };
        self.install(Stream { stall, kernel_asid: Some(kernel.asid), ..Stream::new(stream, route) })
    }

    /// Lets SubstreamIDs be bound on `stream` without a table for the traffic that carries none: it aborts or passes.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); `SubstreamOutOfRange` if the SMMU has no SubstreamIDs, `NoKernelTable` for `Untagged::Table`.
    pub fn attach_tagged(&mut self, stream: StreamId, untagged: Untagged, faults: FaultModel) -> Result<(), SmmuError> {
        if self.features.substream_bits == 0 {
            return Err(SmmuError::SubstreamOutOfRange(KERNEL));
        }
        if untagged == Untagged::Table {
            return Err(SmmuError::NoKernelTable(stream));
        }
        self.check_free(stream)?;
        let stall = self.stalls_as(faults)?;
        self.make_entry(stream)?;
        let table = CdTable::new(&self.port.memory, &self.features)?;
        self.install(Stream { stall, ..Stream::new(stream, Route::Contexts { table, untagged }) })
    }

    /// Changes what the traffic without a SubstreamID does, hitless.
    ///
    /// # Errors
    /// `NoSuchStream`; `SubstreamOutOfRange` if the SMMU has no SubstreamIDs; `NoKernelTable` for `Untagged::Table` on a stream without one; or
    /// a failure of the command queue.
    pub fn set_untagged(&mut self, stream: StreamId, wanted: Untagged) -> Result<(), SmmuError> {
        if self.features.substream_bits == 0 {
            return Err(SmmuError::SubstreamOutOfRange(KERNEL));
        }
        let at = self.translating(stream)?;
        let entry = &mut self.streams[at];
        if wanted == Untagged::Table && entry.kernel_asid.is_none() {
            return Err(SmmuError::NoKernelTable(stream));
        }
        if let Route::Contexts { untagged, .. } = &mut entry.route {
            *untagged = wanted;
        }
        self.write_entry(at)
    }

    /// Whether contexts stall, as the caller wishes and the SMMU can.
    fn stalls_as(&self, faults: FaultModel) -> Result<bool, SmmuError> {
        let model = self.features.stall_model;
        if faults == FaultModel::Stall && !model.can_stall() {
            return Err(SmmuError::NoStall);
        }
        Ok(faults == FaultModel::Stall || model == StallModel::StallOnly)
    }

    /// Makes the entry of a stream exist.
    pub(crate) fn make_entry(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let attached = self.streams.iter().map(|s| s.id);
        self.table.ensure(&self.port, &mut self.commands, stream, attached)
    }

    /// Notes a stream that [`check_free`](Self::check_free) has let through, and puts its entry in force.
    pub(crate) fn install(&mut self, entry: Stream<M::Buffer>) -> Result<(), SmmuError> {
        let stream = entry.id;
        match self.position(stream) {
            // It passed or aborted: there is nothing of it to give back.
            Ok(at) => self.streams[at] = Stream { reports: self.streams[at].reports, ..entry },
            // There is room: check_free has looked.
            Err(_) => _ = self.streams.push(entry),
        }
        self.write_entry(self.position(stream)?)
    }

    /// Writes the STE of an attached stream as its description asks.
    pub(crate) fn write_entry(&mut self, at: usize) -> Result<(), SmmuError> {
        let entry = &self.streams[at];
        let ste = match &entry.route {
            Route::Abort => abort(),
            Route::Bypass => bypass(),
            Route::Contexts { table, untagged } => Stage1 {
                context_pointer: table.pointer(),
                format: table.format(),
                substream_bits: table.substream_bits(),
                untagged: *untagged,
                cacheable: self.config.memory == TableMemory::Cacheable,
                never_stalls: self.features.stall_model == StallModel::StallOrTerminate && !entry.stall,
                ats: entry.ats,
            }
            .ste(),
            Route::Guest { table, contexts, stage2_stalls } => stage2::ste(table, contexts.as_ref(), self.stage2_treatment(*stage2_stalls)),
        };
        self.table.set(&self.port, &mut self.commands, entry.id, &ste)?;
        Ok(())
    }

    fn first_context(&self, cd: &Words) -> Result<CdTable<M::Buffer>, SmmuError> {
        let mut contexts = CdTable::new(&self.port.memory, &self.features)?;
        match contexts.ensure(&self.port, None, KERNEL).and_then(|()| contexts.prepare(KERNEL, cd)) {
            Ok(()) => Ok(contexts),
            Err(error) => {
                contexts.free(&self.port.memory);
                Err(error)
            }
        }
    }

    /// Lets the traffic of `stream` pass untranslated. A stream that was attached to abort changes without a gap.
    ///
    /// # Errors
    /// `StreamOutOfRange`, `StreamBusy`, `NoRoom`, `Memory`; or a failure of the command queue.
    pub fn attach_bypass(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        self.check_free(stream)?;
        self.make_entry(stream)?;
        self.install(Stream::new(stream, Route::Bypass))
    }

    /// Lets the traffic of `stream` abort, silently: a device that nobody drives. A stream that passed is cut off without a gap.
    ///
    /// # Errors
    /// As [`attach_bypass`](Self::attach_bypass).
    pub fn attach_abort(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        self.check_free(stream)?;
        self.make_entry(stream)?;
        self.install(Stream::new(stream, Route::Abort))
    }

    /// True if the stream may be attached: it is not, or it passes or aborts.
    pub(crate) fn check_free(&self, stream: StreamId) -> Result<(), SmmuError> {
        if !self.table.covers(stream) {
            return Err(SmmuError::StreamOutOfRange(stream));
        }
        match self.position(stream) {
            Ok(at) if self.streams[at].is_untranslated() && !self.streams[at].blocked => Ok(()),
            Ok(_) => Err(SmmuError::StreamBusy(stream)),
            Err(_) if self.streams.is_full() => Err(SmmuError::NoRoom),
            Err(_) => Ok(()),
        }
    }

    /// Gives the traffic without SubstreamID another table. The device must be idle: one context cannot change its table without a moment of
    /// C_BAD_CD. Both ASIDs are dropped from the TLB.
    ///
    /// # Errors
    /// `NoSuchStream`, `NoKernelTable`, `BadTable`, `AsidInUse`, `NoRoom`; or a failure of the command queue.
    pub fn replace_kernel_table(&mut self, stream: StreamId, kernel: &TableDescription) -> Result<(), SmmuError> {
        kernel.check(&self.features)?;
        let at = self.translating(stream)?;
        let cd = context(kernel, self.treatment(self.features.stall_model == StallModel::StallOnly, true));
        let old = self.streams[at].kernel_asid;
        if old.is_none() {
            return Err(SmmuError::NoKernelTable(stream));
        }
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
        let contexts = self.streams[at].contexts().ok_or(SmmuError::NoSuchStream(stream))?;
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

    /// Aborts all traffic of `stream` from now on, answers its stalls with an abort and its page requests with a refusal: what precedes resetting a device that misbehaves.
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
        // Nobody will map for it what it has asked for.
        if self.streams[at].ats.is_some() { self.flush_page_requests() } else { Ok(()) }
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
        if let Route::Guest { table: Stage2Description { vmid, .. }, .. } = self.streams[at].route {
            self.invalidate_guest(vmid)?;
            self.leave_guest(vmid);
        }
        self.ats.retain(|b| !b.is_of(stream));
        let mut gone = self.streams.swap_remove(at);
        self.stray_reports.inherit(&mut gone.reports);
        if let Route::Contexts { table, .. } = gone.route {
            table.free(&self.port.memory);
        }
        Ok(())
    }
}
