//! The physical function's port to memory with ATS and PRI: its translation cache, its page requests, and the capabilities that switch them.
//!
//! It is there on a machine whose SMMU has ATS (profile `atspri`). Requests of the queue manager and of the engine then carry addresses that
//! the cache has translated, so that a forgotten CMD_ATC_INV serves the old page; an access to a missing page asks for it and waits.

use hal::{StallTag, StreamId, Verdict};
use qm_model::PageRequestStatus;
use smmu_model::{Endpoint, Fault, SmmuModel, Transaction, Translated};
use smmu_spec::pri::PageRequest;

use crate::guest::GuestMemory;
use crate::lines::SmmuLines;
use crate::state::Accelerator;

/// The function's side of ATS.
pub struct AtsPort {
    /// StreamID of the function, if it has the capabilities.
    stream: Option<StreamId>,
    /// Software has switched ATS on.
    enabled: bool,
    /// Software lets it ask for pages.
    requests_pages: bool,
    endpoint: Endpoint,
}

impl AtsPort {
    /// A function without ATS.
    pub const ABSENT: Self = Self { stream: None, enabled: false, requests_pages: false, endpoint: Endpoint::new() };

    /// Gives the capabilities to the function of `stream`.
    pub fn offer(&mut self, stream: StreamId) {
        self.stream = Some(stream);
        self.endpoint.disable_page_requests();
    }

    /// Translates an access of `stream`.
    ///
    /// # Errors
    /// The SMMU's, or the endpoint's.
    #[inline]
    pub fn translate(&mut self, smmu: &mut SmmuModel, tx: &Transaction, memory: &mut GuestMemory) -> Result<Translated, Fault> {
        if self.enabled {
            return self.translate_here(smmu, tx, memory);
        }
        smmu.translate(*tx, memory, &mut SmmuLines)
    }

    /// [`translate`](Self::translate) while ATS is on. Apart, so that the way without it needs no frame of its own.
    #[inline(never)]
    fn translate_here(&mut self, smmu: &mut SmmuModel, tx: &Transaction, memory: &mut GuestMemory) -> Result<Translated, Fault> {
        if self.stream == Some(tx.who.stream) {
            return self.endpoint.translate(smmu, *tx, memory, &mut SmmuLines);
        }
        smmu.translate(*tx, memory, &mut SmmuLines)
    }

    /// Sends a page request as the function's own; false if it cannot.
    pub fn send(&mut self, smmu: &mut SmmuModel, request: PageRequest, memory: &mut GuestMemory) -> bool {
        self.stream == Some(request.stream) && self.endpoint.send(smmu, request, memory, &mut SmmuLines)
    }

    /// Obeys invalidations and takes answers, after a write to an SMMU register. An invalidation for any other stream meets nobody, and
    /// times out.
    pub fn serve(&mut self, smmu: &mut SmmuModel, memory: &mut GuestMemory) {
        while let Some(invalidation) = smmu.take_atc_invalidation() {
            let completed = self.stream == Some(invalidation.stream) && self.endpoint.invalidate(&invalidation);
            smmu.finish_atc_invalidation(completed, memory, &mut SmmuLines);
        }
        while let Some(answer) = smmu.take_page_response() {
            if self.stream == Some(answer.stream) {
                self.endpoint.answer(&answer);
            }
        }
    }

    /// The next access that may go on, and how.
    pub fn take_resumed(&mut self) -> Option<(StallTag, Verdict)> {
        self.stream?;
        self.endpoint.take_resumed()
    }

    /// Follows what software has written to the capabilities, and shows it what became of page requests.
    pub fn follow(&mut self, qm: &mut Accelerator) {
        if self.stream.is_none() {
            return;
        }
        if self.enabled != qm.ats_enabled() {
            self.enabled = !self.enabled;
            self.endpoint.forget_translations();
        }
        let wanted = qm.page_requests();
        if self.requests_pages != wanted.enabled {
            self.requests_pages = wanted.enabled;
            if wanted.enabled {
                self.endpoint.set_allocation(wanted.allocation);
                self.endpoint.enable_page_requests();
            } else {
                self.endpoint.disable_page_requests();
            }
        }
        if qm.take_page_request_reset() {
            self.endpoint.forget_page_requests();
        }
        self.report(qm);
    }

    /// Shows software what became of page requests.
    pub fn report(&mut self, qm: &mut Accelerator) {
        if self.stream.is_none() {
            return;
        }
        qm.note_page_requests(PageRequestStatus {
            failed: self.requests_pages && !self.endpoint.requests_pages(),
            unexpected: self.endpoint.take_unexpected(),
            outstanding: self.endpoint.outstanding() != 0,
        });
    }
}
