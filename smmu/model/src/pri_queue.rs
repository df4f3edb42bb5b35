//! Page requests and their answers (IHI 0070 3.5.2, 4.5.2, 8.1 to 8.3).

use hal::{BusError, IrqLines, Pa, PhysMemory, StreamId, SubstreamId};
use heapless::Deque;
use smmu_spec::command::PriResponse;
use smmu_spec::irq;
use smmu_spec::pri::{PRI_BYTES, PageRequest};
use smmu_spec::regs::{CR0, GERROR, IRQ_CTRL, OUTPUT_CONS, OUTPUT_PROD};
use smmu_spec::ste::STE_DW1;

use crate::model::SmmuModel;
use crate::stream::SteAction;

/// Answers that wait for [`SmmuModel::take_page_response`]. Endpoints have fewer groups open than this.
pub(crate) const RESPONSES: usize = 128;

/// An answer to a page request group, on its way to the endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageResponse {
    /// Which endpoint.
    pub stream: StreamId,
    /// The SubstreamID, where the answer carries one.
    pub substream: Option<SubstreamId>,
    /// Which group.
    pub prg_index: u16,
    /// The answer.
    pub response: PriResponse,
}

/// Answers under way.
pub(crate) type Responses = Deque<PageResponse, RESPONSES>;

impl SmmuModel {
    /// The next answer for an endpoint, to be drained after every register write and page request.
    pub fn take_page_response(&mut self) -> Option<PageResponse> {
        self.responses.pop_front()
    }

    pub(crate) fn respond(&mut self, response: PageResponse) {
        // An endpoint that never takes its answers loses them.
        let _ = self.responses.push_back(response);
    }

    /// Takes a page request of an endpoint into the PRI queue, or answers it as the architecture says.
    pub fn page_request(&mut self, request: PageRequest, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        let has_substream = request.substream.is_some();
        let request = PageRequest { execute: request.execute && has_substream, privileged: request.privileged && has_substream, ..request };
        let enabled = CR0::PRIQEN.is_set(self.regs.cr0ack) && CR0::SMMUEN.is_set(self.regs.cr0ack);
        if !self.features.pri || !enabled || self.regs.is_error_active(GERROR::PRIQ_ABT_ERR::SET.value) {
            self.respond_to_last(&request, request.substream, PriResponse::Failure);
            return;
        }
        let regs = &mut self.regs;
        let in_overflow = OUTPUT_PROD::OVFLG.is_set(regs.priq_prod) != OUTPUT_CONS::OVACKFLG.is_set(regs.priq_cons);
        if in_overflow || !regs.priq_has_room() {
            if !in_overflow {
                regs.priq_prod ^= OUTPUT_PROD::OVFLG::SET.value;
            }
            self.answer_dropped(&request, mem);
            if request.last && self.regs.priq_interrupts_on_last() {
                self.interrupt_for_priq(mem, irq);
            }
            return;
        }
        let (prod, cons) = self.regs.priq_indices();
        if self.write_request(&request, prod.index(), mem).is_err() {
            self.raise_error(GERROR::PRIQ_ABT_ERR::SET.value, mem, irq);
            self.respond_to_last(&request, request.substream, PriResponse::Failure);
            return;
        }
        self.regs.priq_prod = self.regs.priq_prod & OUTPUT_PROD::OVFLG::SET.value | prod.next().raw();
        self.counters.page_requests += 1;
        let interrupts = if self.regs.priq_interrupts_on_last() { request.last } else { prod.is_empty(cons) };
        if interrupts {
            self.interrupt_for_priq(mem, irq);
        }
    }

    fn write_request(&mut self, request: &PageRequest, index: u32, mem: &mut impl PhysMemory) -> Result<(), BusError> {
        let at = self.regs.priq_address() + u64::from(index) * PRI_BYTES;
        let mut bytes = [0; PRI_BYTES as usize];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(request.encode()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        mem.write(Pa(at), &bytes)
    }

    fn interrupt_for_priq(&mut self, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        if IRQ_CTRL::PRIQ_IRQEN.is_set(self.regs.irq_ctrlack) {
            irq.pulse(irq::PRIQ);
            let msi = self.regs.priq_msi;
            self.send_msi(msi, GERROR::MSI_PRIQ_ABT_ERR::SET.value, mem, irq);
        }
    }

    fn respond_to_last(&mut self, request: &PageRequest, substream: Option<SubstreamId>, response: PriResponse) {
        if request.last && !request.is_stop_marker() {
            self.respond(PageResponse { stream: request.stream, substream, prg_index: request.prg_index, response });
        }
    }

    /// Answers the last request of a group that found no room, so that the device tries again.
    fn answer_dropped(&mut self, request: &PageRequest, mem: &mut impl PhysMemory) {
        let carries_substream = match (request.substream, self.features.pps) {
            (None, _) => Some(false),
            (Some(_), true) => Some(true),
            (Some(_), false) => self.page_response_carries_substream(request.stream, mem),
        };
        match carries_substream {
            Some(carries) => self.respond_to_last(request, request.substream.filter(|_| carries), PriResponse::Success),
            None => self.respond_to_last(request, None, PriResponse::Failure),
        }
    }

    /// STE.PPAR; `None` without a valid STE.
    fn page_response_carries_substream(&mut self, stream: StreamId, mem: &mut impl PhysMemory) -> Option<bool> {
        match self.ste(stream, mem) {
            Err(_) | Ok(SteAction::Illegal) => None,
            Ok(_) => self.ste_word(stream, 1, mem).map(|dw1| STE_DW1::PPAR.is_set(dw1)),
        }
    }
}
