//! Faults and errors: what the SMMU reports, and how software answers. Nothing here waits for a device.

use hal::{Clock, DmaMapper, Ipa, RegisterWindow, StreamId, SubstreamId, Va, Verdict};
use smmu_spec::{
    command::{Leaf, Operation, ResumeAction, TlbiRange},
    event::EventRecord,
    regs::{GERROR, SMMU_GERROR, SMMU_GERRORN},
};
use tock_registers::LocalRegisterCopy;

use crate::ats::PageEvent;
use crate::cd_table::Slot;
use crate::error::{CommandFailure, SmmuError};
use crate::event::{Event, FaultKind, Ticket, classify};
use crate::init::{MAX_DEFERRED, Smmu};
use crate::output_queue::Head;
use crate::reports::{Admission, Reports};
use crate::stream::{Route, Stream};

/// A mapping that denied an access: the TLB may hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Denial {
    Stage1(Va),
    Stage2(Ipa),
}

/// A stalled transaction that somebody must answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stall {
    pub(crate) ticket: Ticket,
    substream: Option<SubstreamId>,
    denied: Option<Denial>,
}

/// Whose table a transaction uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Asid(u16),
    Guest(u16),
}

/// Global errors that were active (SMMU_GERROR; IHI 0070, section 6.3.15), acknowledged by now.
#[derive(Clone, Copy)]
pub struct GlobalErrors {
    /// The active bits.
    pub active: LocalRegisterCopy<u32, GERROR::Register>,
    /// The command that was refused, if nobody was told before.
    pub command: Option<CommandFailure>,
    /// How the recovery went that losing events needs: all stalled transactions were aborted, because the records of some may be lost.
    pub recovery: Result<(), SmmuError>,
}

impl GlobalErrors {
    /// Records were lost because the Event queue's memory could not be written. No transaction was left stalled.
    pub fn lost_events(&self) -> bool {
        self.active.is_set(GERROR::EVENTQ_ABT_ERR)
    }

    /// Page requests were lost because the PRI queue's memory could not be written. The devices were told so; they may ask again.
    pub fn lost_page_requests(&self) -> bool {
        self.active.is_set(GERROR::PRIQ_ABT_ERR)
    }

    /// The SMMU has given up (SFM). The driver has switched it off; all traffic aborts.
    pub fn is_fatal(&self) -> bool {
        self.active.is_set(GERROR::SFM_ERR)
    }
}

/// The reports of every attached stream, and of all others.
fn all_reports<'a, B>(streams: &'a mut [Stream<B>], stray: &'a mut Reports) -> impl Iterator<Item = (Option<StreamId>, &'a mut Reports)> {
    streams.iter_mut().map(|s| (Some(s.id), &mut s.reports)).chain([(None, stray)])
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Fetches the next event. An interrupt handler calls it until it answers `None`, or the queue gives no further interrupt.
    ///
    /// A stalled transaction whose address space is gone is answered here with an abort; its event then carries no ticket.
    ///
    /// # Errors
    /// `NoRoom` while too many stalls are unanswered: records stay in the queue until [`resume`](Self::resume) is called. `BadIndex`.
    pub fn next_event(&mut self) -> Result<Option<Event>, SmmuError> {
        let Some(mut event) = self.deferred.pop_front() else { return self.fetch() };
        // What it waited for may be over since it was set aside, and its SubstreamID somebody else's.
        if let Event::Fault(fault) = &mut event {
            fault.stall = fault.stall.filter(|ticket| self.stalls.iter().any(|stall| stall.ticket == *ticket));
        }
        Ok(Some(event))
    }

    /// Hands all pending events to `handler`, and answers the stalls that it decides at once. For `None` the ticket's holder calls
    /// [`resume`](Self::resume) later.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event) and [`resume`](Self::resume).
    pub fn handle_events(&mut self, mut handler: impl FnMut(&Event) -> Option<Verdict>) -> Result<(), SmmuError> {
        while let Some(event) = self.next_event()? {
            let verdict = handler(&event);
            if let (Event::Fault(fault), Some(verdict)) = (&event, verdict)
                && let Some(ticket) = fault.stall
            {
                match self.resume(ticket, verdict) {
                    // Its address space went away in between; the driver has answered.
                    Ok(()) | Err(SmmuError::UnknownStall) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<Option<Event>, SmmuError> {
        // Bounded: a flood comes back as a number now and then.
        for _ in 0..MAX_DEFERRED {
            let record = match self.events.head(&self.port)? {
                None => return Ok(self.overdue_count()),
                Some(Head::Overflow) => None,
                Some(Head::Entry(words)) => Some(EventRecord(words)),
            };
            if let Some(record) = record
                && record.stall().is_some()
            {
                return self.report_stall(record);
            }
            let limit = self.config.reports;
            let attached = record.and_then(|r| self.position(r.stream()).ok());
            let (stream, reports) = match attached {
                Some(at) => (Some(self.streams[at].id), &mut self.streams[at].reports),
                None => (None, &mut self.stray_reports),
            };
            let admission = reports.admit(limit, &self.port.clock);
            if let Admission::CountFirst(records) = admission {
                return Ok(Some(Event::Suppressed { stream, records }));
            }
            // Promptly: a full queue drops other records.
            self.events.advance(&self.port);
            if admission == Admission::Report {
                return Ok(Some(record.map_or(Event::RecordsLost, |record| classify(record, None))));
            }
        }
        Ok(self.largest_count())
    }

    /// Consumes the record at the head, of a stalled transaction.
    fn report_stall(&mut self, record: EventRecord) -> Result<Option<Event>, SmmuError> {
        if self.stalls.is_full() {
            return Err(SmmuError::NoRoom);
        }
        self.events.advance(&self.port);
        let ticket = self.admit(&record)?;
        Ok(Some(classify(record, ticket)))
    }

    /// A number of suppressed records whose period is over.
    fn overdue_count(&mut self) -> Option<Event> {
        let Self { streams, stray_reports, port, .. } = self;
        let mut counts = all_reports(streams, stray_reports);
        let (stream, records) = counts.find_map(|(stream, reports)| Some((stream, reports.overdue(&port.clock)?)))?;
        Some(Event::Suppressed { stream, records })
    }

    /// The largest number of suppressed records, whatever its period.
    fn largest_count(&mut self) -> Option<Event> {
        let counts = all_reports(&mut self.streams, &mut self.stray_reports);
        let (stream, reports) = counts.max_by_key(|(_, reports)| reports.suppressed())?;
        let records = reports.take();
        (records > 0).then_some(Event::Suppressed { stream, records })
    }

    /// Notes a stall that somebody can answer, aborts one that nobody can.
    fn admit(&mut self, record: &EventRecord) -> Result<Option<Ticket>, SmmuError> {
        let Some(tag) = record.stall() else { return Ok(None) };
        if !self.streams.iter().any(|s| s.id == tag.stream && !s.blocked) {
            // CMD_STALL_TERM has ended it: an answer would come too late, or hit a successor.
            return Ok(None);
        }
        self.serial += 1;
        let ticket = Ticket { tag, serial: self.serial };
        if !self.has_owner(tag.stream, record.substream()) {
            self.send_resume(ticket, Verdict::Abort)?;
            return Ok(None);
        }
        // A tag that comes again was freed by the SMMU: the older stall is over.
        self.stalls.retain(|s| s.ticket.tag != tag);
        let denied = match classify(*record, None) {
            Event::Fault(fault) if fault.kind == FaultKind::Permission => {
                Some(fault.stage2().map_or(Denial::Stage1(Va(fault.address.0)), |s2| Denial::Stage2(s2.address)))
            }
            _ => None,
        };
        let _ = self.stalls.push(Stall { ticket, substream: record.substream(), denied });
        Ok(Some(ticket))
    }

    /// True if the address space exists, so that somebody may answer for it.
    pub(crate) fn has_owner(&self, stream: StreamId, substream: Option<SubstreamId>) -> bool {
        self.owner(stream, substream).is_some()
    }

    fn owner(&self, stream: StreamId, substream: Option<SubstreamId>) -> Option<Owner> {
        let entry = self.streams.iter().find(|s| s.id == stream && !s.blocked)?;
        match &entry.route {
            Route::Contexts { table, .. } => match table.slot(substream.unwrap_or(SubstreamId(0))) {
                Slot::Live { asid } => Some(Owner::Asid(asid)),
                Slot::Empty | Slot::Quiesced { .. } => None,
            },
            // Which SubstreamIDs exist is the guest's affair.
            Route::Guest { table, .. } => Some(Owner::Guest(table.vmid)),
            Route::Abort | Route::Bypass => None,
        }
    }

    /// Drops a mapping that denied an access, so that a retry sees the one that took its place.
    fn forget_denial(&mut self, owner: Owner, denied: Denial) -> Result<(), SmmuError> {
        let single = |va: Va| TlbiRange::single(va.align_down(4096).0, Leaf::Only);
        match (owner, denied) {
            (Owner::Guest(vmid), Denial::Stage2(ipa)) => return self.invalidate_ipa(vmid, ipa, 1, Leaf::Only),
            (Owner::Guest(vmid), Denial::Stage1(va)) => self.commands.push(&self.port, Operation::TlbiNhVaa { vmid, range: single(va) })?,
            (Owner::Asid(asid), Denial::Stage1(va)) => {
                self.commands.push(&self.port, Operation::TlbiNhVa { vmid: 0, asid, range: single(va) })?;
            }
            // A stage that this stream does not have.
            (Owner::Asid(_), Denial::Stage2(_)) => return Ok(()),
        }
        self.commands.sync(&self.port)
    }

    /// Answers a stalled transaction. After a permission fault that is to be retried the TLB is cleaned first, as the denied mapping may be
    /// cached. The answer is on its way when this returns; nothing is waited for but that clean-up.
    ///
    /// # Errors
    /// `UnknownStall` if it was answered already (unbinding answers all stalls of its address space); or a failure of the command queue.
    pub fn resume(&mut self, ticket: Ticket, verdict: Verdict) -> Result<(), SmmuError> {
        let at = self.stalls.iter().position(|s| s.ticket == ticket).ok_or(SmmuError::UnknownStall)?;
        let stall = self.stalls[at];
        if let (Verdict::Retry, Some(denied)) = (verdict, stall.denied)
            && let Some(owner) = self.owner(ticket.tag.stream, stall.substream)
        {
            self.forget_denial(owner, denied)?;
        }
        self.stalls.swap_remove(at);
        self.send_resume(ticket, verdict)
    }

    fn send_resume(&mut self, ticket: Ticket, verdict: Verdict) -> Result<(), SmmuError> {
        let action = match verdict {
            Verdict::Retry => ResumeAction::Retry,
            Verdict::Abort => ResumeAction::Abort,
            Verdict::ReadZeroWriteIgnore => ResumeAction::ReadZeroWriteIgnore,
        };
        let tag = ticket.tag;
        self.commands.push(&self.port, Operation::Resume { stream: tag.stream, stag: tag.stag, action })?;
        self.commands.submit(&self.port);
        Ok(())
    }

    /// Aborts the stalls that have lost their owner: those being handled, and those still in the queue. Other records are kept for
    /// [`next_event`](Self::next_event). Afterwards no event of a dead address space can be mistaken for one of its successor.
    pub(crate) fn flush_faults(&mut self) -> Result<(), SmmuError> {
        let mut at = 0;
        while let Some(stall) = self.stalls.get(at).copied() {
            if self.has_owner(stall.ticket.tag.stream, stall.substream) {
                at += 1;
            } else {
                self.stalls.swap_remove(at);
                self.send_resume(stall.ticket, Verdict::Abort)?;
            }
        }
        // Bounded: aborted transactions make no records, and no more than a queue of others is moved.
        for _ in 0..self.deferred.capacity() {
            if self.deferred.is_full() {
                return Err(SmmuError::NoRoom);
            }
            let Some(event) = self.fetch()? else { return Ok(()) };
            let _ = self.deferred.push_back(event);
        }
        Err(SmmuError::NoRoom)
    }

    /// Stalls that were reported and not yet answered.
    pub fn pending_stalls(&self) -> usize {
        self.stalls.len()
    }

    /// Handles the global error interrupt: repairs the Command queue, switches the SMMU off if it has failed, acknowledges what it saw. If event
    /// records were lost, every stream that may stall is blocked for a moment and its stalls are aborted: nobody could answer those whose
    /// records are gone.
    ///
    /// # Errors
    /// If the Command queue cannot be repaired or the SMMU not switched off.
    pub fn handle_global_error(&mut self) -> Result<GlobalErrors, SmmuError> {
        let seen = SMMU_GERROR.get(&self.port.window);
        let active = LocalRegisterCopy::<u32, GERROR::Register>::new(seen ^ SMMU_GERRORN.get(&self.port.window));
        if active.is_set(GERROR::SFM_ERR) {
            self.commands.kill();
            self.halt()?;
        } else if active.is_set(GERROR::CMDQ_ERR) {
            self.commands.repair(&self.port)?;
        }
        // Exactly the bits that were read: an error that became active since stays active.
        SMMU_GERRORN.set(&self.port.window, seen);
        let mut recovery = Ok(());
        if !active.is_set(GERROR::SFM_ERR) {
            if active.is_set(GERROR::PRIQ_ABT_ERR) {
                recovery = self.deferred_pages.push_back(PageEvent::RequestsLost).map_err(|_| SmmuError::NoRoom);
            }
            if active.is_set(GERROR::EVENTQ_ABT_ERR) {
                recovery = recovery.and(self.end_all_stalls());
            }
        }
        Ok(GlobalErrors { active, command: self.commands.take_failure(), recovery })
    }

    /// Aborts every stalled transaction, of streams that go on as well.
    fn end_all_stalls(&mut self) -> Result<(), SmmuError> {
        for at in 0..self.streams.len() {
            if self.streams[at].stall && !self.streams[at].blocked {
                let stream = self.streams[at].id;
                let ended = self.block(stream);
                self.unblock(stream)?;
                ended?;
            }
        }
        Ok(())
    }
}
