//! The endpoint's side of ATS and PRI: a translation cache, and a port that uses it.

use hal::{AccessKind, Iova, IrqLines, Pa, PhysMemory, Requester, StallTag, StreamId, SubstreamId, Verdict};
use smmu_spec::command::PriResponse;
use smmu_spec::pri::PageRequest;

use crate::ats::{AtcInvalidation, AtsCompletion, AtsTranslation, TranslationRequest};
use crate::model::SmmuModel;
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

/// Groups that an endpoint has open at once. Their index is the stall tag under which the access waits.
const GROUPS: usize = 64;

#[derive(Clone, Copy)]
enum Group {
    Free,
    Open(StreamId),
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
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Endpoint {
    /// Makes an endpoint that holds nothing.
    pub const fn new() -> Self {
        Self { atc: Atc::new(), groups: [Group::Free; GROUPS], requests_pages: true, completes_invalidations: true }
    }

    /// The translation cache.
    pub const fn atc(&self) -> &Atc {
        &self.atc
    }

    /// Lets invalidations time out, or complete again: what a device that hangs does.
    pub fn set_completes_invalidations(&mut self, completes: bool) {
        self.completes_invalidations = completes;
    }

    /// Switches page requests on (PRI enable); a Response Failure switches them off.
    pub fn enable_page_requests(&mut self) {
        self.requests_pages = true;
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
        let free = self.groups.iter().position(|g| matches!(g, Group::Free));
        let (true, Some(index)) = (self.requests_pages, free) else { return Fault::Abort };
        self.groups[index] = Group::Open(tx.who.stream);
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
        Fault::Stalled(StallTag { stream: tx.who.stream, stag: index as u16 })
    }

    /// Obeys invalidations and takes answers: to be called after every register write, then [`take_resumed`](Self::take_resumed).
    pub fn serve(&mut self, smmu: &mut SmmuModel, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        while let Some(invalidation) = smmu.take_atc_invalidation() {
            if self.completes_invalidations {
                self.atc.invalidate(&invalidation);
            }
            smmu.finish_atc_invalidation(self.completes_invalidations, mem, irq);
        }
        while let Some(answer) = smmu.take_page_response() {
            let verdict = match answer.response {
                PriResponse::Success => Verdict::Retry,
                PriResponse::Invalid => Verdict::Abort,
                PriResponse::Failure | PriResponse::Reserved => {
                    self.requests_pages = false;
                    Verdict::Abort
                }
            };
            if let Some(group) = self.groups.get_mut(usize::from(answer.prg_index))
                && matches!(group, Group::Open(stream) if *stream == answer.stream)
            {
                *group = Group::Answered(answer.stream, verdict);
            }
        }
    }

    /// The next access that may go on, and how.
    pub fn take_resumed(&mut self) -> Option<(StallTag, Verdict)> {
        let answered = |g: &Group| matches!(g, Group::Answered(..));
        let index = self.groups.iter().position(answered)?;
        let Group::Answered(stream, verdict) = core::mem::replace(&mut self.groups[index], Group::Free) else { return None };
        Some((StallTag { stream, stag: index as u16 }, verdict))
    }
}
