//! The endpoint's side of ATS and PRI: a translation cache, and a port that uses it.

use hal::{AccessKind, Iova, IrqLines, Pa, PhysMemory, Requester, StallTag, StreamId, SubstreamId, Verdict};
use smmu_spec::command::PriResponse;
use smmu_spec::pri::PageRequest;

use crate::ats::{AtcInvalidation, AtsCompletion, AtsTranslation, TranslationRequest};
use crate::model::SmmuModel;
use crate::pri_queue::PageResponse;
use crate::stalls::HELD_STAG;
use crate::translate::{Fault, Transaction, Translated};

const ENTRIES: usize = 256;

#[derive(Clone, Copy)]
struct AtcEntry {
    stream: StreamId,
    substream: Option<SubstreamId>,
    privileged: bool,
    /// Address of the page, before translation.
    page: u64,
    translation: AtsTranslation,
}

/// An address translation cache: it keeps what translation completions gave until it is told to drop it (CMD_ATC_INV), and nothing else
/// makes it forget. A forgotten CMD_ATC_INV therefore serves the old page.
pub struct Atc {
    entries: [Option<AtcEntry>; ENTRIES],
}

impl Default for Atc {
    fn default() -> Self {
        Self::new()
    }
}

impl Atc {
    /// Makes an empty cache.
    pub const fn new() -> Self {
        Self { entries: [None; ENTRIES] }
    }

    fn slot(who: &Requester, iova: Iova) -> usize {
        let owner = who.substream.map_or(0, |s| u64::from(s.0) + 1);
        ((iova.0 >> 12) ^ owner.wrapping_mul(0x9d) ^ u64::from(who.stream.0).wrapping_mul(0x25)) as usize % ENTRIES
    }

    /// What the cache knows of a page.
    pub fn lookup(&self, who: &Requester, iova: Iova) -> Option<AtsTranslation> {
        let entry = self.entries[Self::slot(who, iova)].as_ref()?;
        let is_same = (entry.stream, entry.substream, entry.privileged) == (who.stream, who.substream, who.privileged);
        (is_same && entry.page == iova.0 & !0xfff).then_some(entry.translation)
    }

    /// Keeps a completion. One that allows nothing is not kept.
    pub fn insert(&mut self, who: &Requester, iova: Iova, translation: AtsTranslation) {
        if translation.read || translation.write || translation.execute {
            let entry =
                AtcEntry { stream: who.stream, substream: who.substream, privileged: who.privileged, page: iova.0 & !0xfff, translation };
            self.entries[Self::slot(who, iova)] = Some(entry);
        }
    }

    /// Drops what an invalidation names.
    pub fn invalidate(&mut self, invalidation: &AtcInvalidation) {
        for entry in &mut self.entries {
            if entry.is_some_and(|e| e.stream == invalidation.stream && invalidation.covers(e.substream, e.page)) {
                *entry = None;
            }
        }
    }

    /// Number of translations held.
    pub fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Groups that an endpoint can have open at once. Their index is the stall tag under which the access waits.
const GROUPS: usize = 96;
/// Streams that share an endpoint: a device's functions.
const STREAMS: usize = 64;

#[derive(Clone, Copy)]
enum Group {
    Free,
    Open(StreamId, Option<SubstreamId>),
    Answered(StreamId, Verdict),
}

/// A device port with ATS and PRI switched on: accesses go through its translation cache, missing pages are asked for, and the access waits
/// like a stalled one until the answer comes.
pub struct Endpoint {
    atc: Atc,
    groups: [Group; GROUPS],
    /// After a Response Failure no more page requests are sent.
    requests_pages: bool,
    completes_invalidations: bool,
    /// Groups that may be open at once.
    allocation: usize,
    /// Accesses of these streams wait because no more groups may be open.
    short: [Option<StreamId>; STREAMS],
    unexpected: bool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Endpoint {
    /// Makes an endpoint that holds nothing.
    pub const fn new() -> Self {
        Self {
            atc: Atc::new(),
            groups: [Group::Free; GROUPS],
            requests_pages: true,
            completes_invalidations: true,
            allocation: GROUPS,
            short: [None; STREAMS],
            unexpected: false,
        }
    }

    /// The translation cache.
    pub const fn atc(&self) -> &Atc {
        &self.atc
    }

    /// Empties the translation cache of a stream: what switching its ATS on or off does.
    pub fn forget_translations(&mut self, stream: StreamId) {
        for entry in &mut self.atc.entries {
            if entry.is_some_and(|entry| entry.stream == stream) {
                *entry = None;
            }
        }
    }

    /// Limits the groups that are open at once (the outstanding page request allocation). An access beyond it waits for one to be answered.
    pub fn set_allocation(&mut self, groups: u32) {
        self.allocation = (groups as usize).min(GROUPS);
    }

    /// Ends every open group as refused (PRI reset): answers that come later fit none.
    pub fn forget_page_requests(&mut self) {
        for group in &mut self.groups {
            if let Group::Open(stream, _) = *group {
                *group = Group::Answered(stream, Verdict::Abort);
            }
        }
    }

    /// Groups that wait for their answer.
    pub fn outstanding(&self) -> usize {
        self.groups.iter().filter(|group| matches!(group, Group::Open(..))).count()
    }

    /// True once after an answer came that fits no open group: another index, or without the SubstreamID of the request.
    pub const fn take_unexpected(&mut self) -> bool {
        core::mem::replace(&mut self.unexpected, false)
    }

    /// Lets invalidations time out, or complete again: what a device that hangs does.
    pub fn set_completes_invalidations(&mut self, completes: bool) {
        self.completes_invalidations = completes;
    }

    /// Switches page requests on (PRI enable); a Response Failure switches them off.
    pub fn enable_page_requests(&mut self) {
        self.requests_pages = true;
    }

    /// Switches page requests off: accesses to missing pages abort.
    pub fn disable_page_requests(&mut self) {
        self.requests_pages = false;
    }

    /// True unless a Response Failure has switched page requests off.
    pub const fn requests_pages(&self) -> bool {
        self.requests_pages
    }

    /// Translates one access by the cache, asking the SMMU where it does not know.
    ///
    /// # Errors
    /// [`Fault::Stalled`] while a page request is open; [`Fault::Abort`].
    pub fn translate(
        &mut self,
        smmu: &mut SmmuModel,
        tx: Transaction,
        mem: &mut impl PhysMemory,
        irq: &mut impl IrqLines,
    ) -> Result<Translated, Fault> {
        let allows = |t: &AtsTranslation| match tx.kind {
            AccessKind::Read => t.read,
            AccessKind::Write => t.write,
            AccessKind::Execute => t.execute,
        };
        let known = match self.atc.lookup(&tx.who, tx.iova) {
            Some(known) if allows(&known) => known,
            _ => {
                let request = TranslationRequest {
                    who: tx.who,
                    iova: tx.iova,
                    no_write: tx.kind != AccessKind::Write,
                    execute: tx.kind == AccessKind::Execute,
                };
                match smmu.ats_request(request, mem, irq) {
                    AtsCompletion::Success(found) if allows(&found) => {
                        self.atc.insert(&tx.who, tx.iova, found);
                        found
                    }
                    AtsCompletion::Success(_) => return Err(self.ask_for_page(smmu, &tx, mem, irq)),
                    AtsCompletion::UnsupportedRequest | AtsCompletion::CompleterAbort => return Err(Fault::Abort),
                }
            }
        };
        smmu.translated(tx.who, Pa(known.page.0 | tx.iova.0 & 0xfff), tx.kind, mem, irq)
    }

    fn ask_for_page(&mut self, smmu: &mut SmmuModel, tx: &Transaction, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Fault {
        if !self.requests_pages || self.allocation == 0 {
            return Fault::Abort;
        }
        let stream = tx.who.stream;
        let free = self.groups.iter().position(|g| matches!(g, Group::Free)).filter(|_| self.outstanding() < self.allocation);
        let Some(index) = free else {
            return self.hold(stream);
        };
        self.groups[index] = Group::Open(stream, tx.who.substream);
        let request = PageRequest {
            stream: tx.who.stream,
            substream: tx.who.substream,
            address: tx.iova.0 & !0xfff,
            prg_index: index as u16,
            read: tx.kind != AccessKind::Write,
            write: tx.kind == AccessKind::Write,
            execute: tx.kind == AccessKind::Execute,
            privileged: tx.who.privileged,
            last: true,
        };
        smmu.page_request(request, mem, irq);
        // The SMMU itself may have answered. A refusal ends the access here; a request to try again is followed once software has done something,
        // and until then waits as an answer does: trying at once would find the queue as full as it was.
        self.take_answers(smmu);
        match self.groups[index] {
            Group::Answered(_, Verdict::Abort) => {
                self.groups[index] = Group::Free;
                Fault::Abort
            }
            _ => Fault::Stalled(StallTag { stream, stag: index as u16 }),
        }
    }

    /// Holds an access back until a group may be opened.
    fn hold(&mut self, stream: StreamId) -> Fault {
        if !self.short.contains(&Some(stream)) {
            let Some(place) = self.short.iter_mut().find(|place| place.is_none()) else { return Fault::Abort };
            *place = Some(stream);
        }
        Fault::Stalled(StallTag { stream, stag: HELD_STAG })
    }

    /// Sends a page request of the caller's making, one of a group that this opens. The answer comes out of
    /// [`take_resumed`](Self::take_resumed) as for an access that waits. False if page requests are off, or there is no such group.
    pub fn send(&mut self, smmu: &mut SmmuModel, request: PageRequest, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> bool {
        let group = self.groups.get_mut(usize::from(request.prg_index)).filter(|_| self.requests_pages);
        let Some(group) = group.filter(|group| !matches!(group, Group::Answered(..))) else { return false };
        *group = Group::Open(request.stream, request.substream);
        smmu.page_request(request, mem, irq);
        self.take_answers(smmu);
        true
    }

    fn take_answers(&mut self, smmu: &mut SmmuModel) {
        while let Some(answer) = smmu.take_page_response() {
            self.answer(&answer);
        }
    }

    /// Takes the answer to a group.
    pub fn answer(&mut self, answer: &PageResponse) {
        let verdict = match answer.response {
            PriResponse::Success => Verdict::Retry,
            PriResponse::Invalid => Verdict::Abort,
            PriResponse::Failure | PriResponse::Reserved => {
                self.requests_pages = false;
                Verdict::Abort
            }
        };
        let index = usize::from(answer.prg_index);
        match self.groups.get(index) {
            Some(Group::Open(stream, substream)) if (*stream, *substream) == (answer.stream, answer.substream) => {
                self.groups[index] = Group::Answered(answer.stream, verdict);
            }
            _ => self.unexpected = true,
        }
    }

    /// Obeys an invalidation; true if it was completed.
    pub fn invalidate(&mut self, invalidation: &AtcInvalidation) -> bool {
        if self.completes_invalidations {
            self.atc.invalidate(invalidation);
        }
        self.completes_invalidations
    }

    /// Obeys invalidations and takes answers: to be called after every register write, then [`take_resumed`](Self::take_resumed).
    pub fn serve(&mut self, smmu: &mut SmmuModel, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        while let Some(invalidation) = smmu.take_atc_invalidation() {
            let completed = self.invalidate(&invalidation);
            smmu.finish_atc_invalidation(completed, mem, irq);
        }
        self.take_answers(smmu);
    }

    /// The next access that may go on, and how.
    pub fn take_resumed(&mut self) -> Option<(StallTag, Verdict)> {
        let answered = |g: &Group| matches!(g, Group::Answered(..));
        let Some(index) = self.groups.iter().position(answered) else {
            // Whoever waited for a group looks again; if there is still none it waits again.
            if self.outstanding() >= self.allocation {
                return None;
            }
            let stream = self.short.iter_mut().find_map(Option::take)?;
            return Some((StallTag { stream, stag: HELD_STAG }, Verdict::Retry));
        };
        let Group::Answered(stream, verdict) = core::mem::replace(&mut self.groups[index], Group::Free) else { return None };
        Some((StallTag { stream, stag: index as u16 }, verdict))
    }
}
