//! The abnormal interrupt: hardware errors of the queue manager (B.7, F.5).

use hal::{Clock, DmaMapper, RegisterWindow};
use qm_spec::RAS_ALL;
use qm_spec::regs::pf;

use crate::Qm;

/// What the error registers said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbnormalReport {
    /// Errors, bits of [`qm_spec::RAS`]; 0 if the interrupt was the engine's or spurious.
    pub errors: u32,
    /// Those of them that demand a controller reset. They stay set and are not reported again.
    pub needs_reset: u32,
    /// Owner of a FIFO overflow, if that is among the errors.
    pub fifo_owner: u32,
    /// Owner of a doorbell timeout, if that is among the errors.
    pub doorbell_owner: u32,
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Answers an abnormal interrupt for the queue manager's part: errors that need no reset are cleared, the others are left and silenced.
    pub fn handle_abnormal(&mut self) -> AbnormalReport {
        self.statistics.abnormal_interrupts = self.statistics.abnormal_interrupts.wrapping_add(1);
        let registers = &self.registers;
        let errors = pf::ABNORMAL_INT_STATUS.get(registers) & RAS_ALL;
        let needs_reset = errors & self.capabilities.ras.reset;
        if needs_reset != 0 {
            pf::RAS_NFE_ENABLE.set(registers, self.capabilities.ras.nfe & !needs_reset);
        }
        if errors & !needs_reset != 0 {
            pf::ABNORMAL_INT_SOURCE.set(registers, errors & !needs_reset);
        }
        AbnormalReport {
            errors,
            needs_reset,
            fifo_owner: pf::ABNORMAL_INF00.get(registers),
            doorbell_owner: pf::ABNORMAL_INF01.get(registers),
        }
    }
}
