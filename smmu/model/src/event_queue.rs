//! Event queue, global errors and the interrupts that both raise (IHI 0070 3.5.2, 3.18, 7.2).

use hal::{BusError, IrqLines, Pa, PhysMemory};
use smmu_spec::event::{EventId, EventRecord};
use smmu_spec::irq;
use smmu_spec::queue::EVENT_BYTES;
use smmu_spec::regs::{CR0, GERROR, IRQ_CTRL, OUTPUT_CONS, OUTPUT_PROD};

use crate::model::SmmuModel;
use crate::registers::MsiConfig;
use crate::trace::Trace;
use crate::translate::{Fault, Transaction, client_record};

/// True if two records differ in InputAddr\[11:0\] at most.
fn is_same_page(a: &EventRecord, b: &EventRecord) -> bool {
    let page = |r: &EventRecord| [r.0[0], r.0[1], r.0[2] & !0xfff, r.0[3]];
    page(a) == page(b)
}

impl SmmuModel {
    /// Ends a transaction of a kind that this SMMU does not serve, as a port found out: F_UUT with the attributes as they came, `reason` being the
    /// port's own. Recorded while the SMMU is disabled, too.
    pub fn unsupported(&mut self, tx: &Transaction, reason: u16, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Fault {
        self.counters.translations += 1;
        self.record_event(client_record(EventId::F_UUT, tx).with_reason(reason), false, mem, irq);
        Fault::Abort
    }

    /// Delivers a record of a transaction that is not stalled. Where records may be merged, one that differs from the newest unread record in
    /// InputAddr\[11:0\] only is not written again.
    pub(crate) fn record_event(&mut self, record: EventRecord, merges: bool, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        let regs = &mut self.regs;
        if !CR0::EVENTQEN.is_set(regs.cr0ack) || regs.is_error_active(GERROR::EVENTQ_ABT_ERR::SET.value) {
            self.counters.events_lost += 1;
            self.trace.push(Trace::EventLost(record));
            return;
        }
        let (prod, cons) = regs.eventq_indices();
        if merges && !prod.is_empty(cons) && self.newest_record.is_some_and(|(at, newest)| at == prod && is_same_page(&newest, &record)) {
            self.counters.events_merged += 1;
            return;
        }
        let regs = &mut self.regs;
        if regs.eventq_has_room() {
            if self.write_record(record, mem, irq).is_err() {
                self.counters.events_lost += 1;
                self.trace.push(Trace::EventLost(record));
            }
            return;
        }
        if OUTPUT_PROD::OVFLG.is_set(regs.eventq_prod) == OUTPUT_CONS::OVACKFLG.is_set(regs.eventq_cons) {
            regs.eventq_prod ^= OUTPUT_PROD::OVFLG::SET.value;
        }
        self.counters.events_lost += 1;
        self.trace.push(Trace::EventLost(record));
    }

    /// Writes the records of stalled transactions that wait for room. They never cause an overflow.
    pub(crate) fn flush_stall_records(&mut self, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        while let Some((handle, record)) = self.stalls.oldest_waiting() {
            let writable = CR0::EVENTQEN.is_set(self.regs.cr0ack)
                && !self.regs.is_error_active(GERROR::EVENTQ_ABT_ERR::SET.value)
                && self.regs.eventq_has_room();
            if !writable || self.write_record(record, mem, irq).is_err() {
                return;
            }
            self.stalls.mark_recorded(handle);
        }
    }

    /// Writes a record, then publishes it, then interrupts if the queue was empty.
    fn write_record(&mut self, record: EventRecord, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) -> Result<(), BusError> {
        let (prod, cons) = self.regs.eventq_indices();
        let at = self.regs.eventq_address() + u64::from(prod.index()) * EVENT_BYTES;
        let mut bytes = [0; EVENT_BYTES as usize];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(record.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        if let Err(error) = mem.write(Pa(at), &bytes) {
            self.raise_error(GERROR::EVENTQ_ABT_ERR::SET.value, mem, irq);
            return Err(error);
        }
        self.regs.eventq_prod = self.regs.eventq_prod & OUTPUT_PROD::OVFLG::SET.value | prod.next().raw();
        self.newest_record = Some((prod.next(), record));
        self.counters.events += 1;
        self.trace.push(Trace::Event(record));
        if prod.is_empty(cons) && IRQ_CTRL::EVENTQ_IRQEN.is_set(self.regs.irq_ctrlack) {
            irq.pulse(irq::EVENTQ);
            let msi = self.regs.eventq_msi;
            self.send_msi(msi, GERROR::MSI_EVENTQ_ABT_ERR::SET.value, mem, irq);
        }
        Ok(())
    }

    /// Sends a message-signalled interrupt if one is configured; an abort becomes global error `on_abort`.
    pub(crate) fn send_msi(&mut self, msi: MsiConfig, on_abort: u32, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        if msi.address == 0 || !self.features.msi {
            return;
        }
        if mem.write(Pa(msi.address), &msi.data.to_le_bytes()).is_err() {
            self.raise_error(on_abort, mem, irq);
        }
    }

    /// Makes a global error active unless it already is, and interrupts.
    pub(crate) fn raise_error(&mut self, bit: u32, mem: &mut impl PhysMemory, irq: &mut impl IrqLines) {
        if self.regs.is_error_active(bit) {
            return;
        }
        self.regs.gerror ^= bit;
        // A failed GERROR message cannot be reported by another one.
        if bit == GERROR::MSI_GERROR_ABT_ERR::SET.value || !IRQ_CTRL::GERROR_IRQEN.is_set(self.regs.irq_ctrlack) {
            return;
        }
        irq.pulse(irq::GERROR);
        let msi = self.regs.gerror_msi;
        self.send_msi(msi, GERROR::MSI_GERROR_ABT_ERR::SET.value, mem, irq);
    }
}
