//! The accelerator's port to memory with ATS and PRI: its translation cache, its page requests, and the capabilities that switch them. All its
//! functions share it: each has ATS of its own, and asks for pages by the physical function's PRI.
//!
//! It is there on a machine whose SMMU has ATS (profile `atspri`). Requests of the queue manager and of the engine then carry addresses that
//! the cache has translated, so that a forgotten CMD_ATC_INV serves the old page; an access to a missing page asks for it and waits.

use hal::{StallTag, StreamId, Verdict};
use qm_model::PageRequestStatus;
use smmu_model::{Endpoint, Fault, SmmuModel, Transaction, Translated};
use smmu_spec::pri::PageRequest;

use crate::guest::GuestMemory;
use crate::lines::SmmuLines;
use crate::state::{Accelerator, FUNCTIONS};

/// The device's side of ATS.
pub struct AtsPort {
    /// StreamID of the physical function, if it has the capabilities; virtual ones follow.
    stream: Option<StreamId>,
    /// Functions whose ATS software has switched on, a bit each.
    enabled: u64,
    /// Functions that are there, the physical one included.
    functions: u32,
    /// Software lets them ask for pages.
    requests_pages: bool,
    endpoint: Endpoint,
}

impl AtsPort {
    /// A device without ATS.
    pub const ABSENT: Self = Self { stream: None, enabled: 0, functions: 1, requests_pages: false, endpoint: Endpoint::new() };

    /// Gives the capabilities to the device whose physical function has `stream`.
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
        if self.enabled != 0 {
            return self.translate_here(smmu, tx, memory);
        }
        smmu.translate(*tx, memory, &mut SmmuLines)
    }

    /// [`translate`](Self::translate) while ATS is on. Apart, so that the way without it needs no frame of its own.
    #[inline(never)]
    fn translate_here(&mut self, smmu: &mut SmmuModel, tx: &Transaction, memory: &mut GuestMemory) -> Result<Translated, Fault> {
        if self.function_of(tx.who.stream).is_some_and(|function| self.enabled >> function & 1 == 1) {
            return self.endpoint.translate(smmu, *tx, memory, &mut SmmuLines);
        }
        smmu.translate(*tx, memory, &mut SmmuLines)
    }

    /// The function of a stream.
    fn function_of(&self, stream: StreamId) -> Option<u32> {
        stream.0.checked_sub(self.stream?.0).filter(|function| *function < FUNCTIONS as u32)
    }

    /// Sends a page request as the device's own; false if it cannot.
    pub fn send(&mut self, smmu: &mut SmmuModel, request: PageRequest, memory: &mut GuestMemory) -> bool {
        self.function_of(request.stream).is_some() && self.endpoint.send(smmu, request, memory, &mut SmmuLines)
    }

    /// Obeys invalidations and takes answers, after a write to an SMMU register. An invalidation for any other stream meets nobody, and
    /// times out.
    pub fn serve(&mut self, smmu: &mut SmmuModel, memory: &mut GuestMemory) {
        while let Some(invalidation) = smmu.take_atc_invalidation() {
            let is_there = self.function_of(invalidation.stream).is_some_and(|function| function < self.functions);
            let completed = is_there && self.endpoint.invalidate(&invalidation);
            smmu.finish_atc_invalidation(completed, memory, &mut SmmuLines);
        }
        while let Some(answer) = smmu.take_page_response() {
            if self.function_of(answer.stream).is_some() {
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
        let Some(first) = self.stream else { return };
        self.functions = 1 + u32::from(qm.virtual_functions());
        for function in 0..FUNCTIONS as u8 {
            let bit = 1 << function;
            if (self.enabled & bit != 0) != qm.function_ats_enabled(function) {
                self.enabled ^= bit;
                self.endpoint.forget_translations(StreamId(first.0 + u32::from(function)));
            }
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
