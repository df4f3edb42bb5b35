//! DMA of the function: each page of it through the SMMU model, then to guest memory.

use hal::{AccessKind, DmaError, DmaPort, Iova, PhysMemory, Requester};
use qm_model::Task;
use smmu_model::{Fault, SmmuModel, Transaction};

use crate::ats::AtsPort;
use crate::guest::GuestMemory;
use crate::{state, trace};

/// Translation granule: no translation is used for more than this.
const PAGE_BYTES: u64 = 0x1000;

/// What a translated piece came to.
enum Piece {
    At(hal::Pa),
    /// Reads return zero, writes are dropped.
    Nowhere,
}

/// DMA for a caller that holds the big lock already.
pub struct TranslatedDma<'a> {
    /// The SMMU in front of the function.
    pub smmu: &'a mut SmmuModel,
    /// The memory behind it.
    pub memory: &'a mut GuestMemory,
    /// The function's port.
    pub ats: &'a mut AtsPort,
}

impl TranslatedDma<'_> {
    fn translate(&mut self, who: Requester, iova: Iova, kind: AccessKind) -> Result<Piece, DmaError> {
        let fault = match self.ats.translate(self.smmu, &Transaction { who, iova, kind }, self.memory) {
            Ok(translated) => return Ok(Piece::At(translated.pa)),
            Err(fault) => fault,
        };
        trace::smmu_steps(self.smmu);
        match fault {
            Fault::ReadZeroWriteIgnore => Ok(Piece::Nowhere),
            Fault::Stalled(tag) => Err(DmaError::Stalled(tag)),
            Fault::Abort => Err(DmaError::Abort),
        }
    }

    fn read_piece(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        match self.translate(who, from, AccessKind::Read)? {
            Piece::At(pa) => self.memory.read(pa, out).map_err(|_| DmaError::Abort),
            Piece::Nowhere => {
                out.fill(0);
                Ok(())
            }
        }
    }

    fn write_piece(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        match self.translate(who, to, AccessKind::Write)? {
            Piece::At(pa) => self.memory.write(pa, data).map_err(|_| DmaError::Abort),
            Piece::Nowhere => Ok(()),
        }
    }
}

/// Length of the first piece of `len` bytes at `at`: up to the page's end.
fn piece_len(at: Iova, len: usize) -> usize {
    len.min((PAGE_BYTES - at.offset_in(PAGE_BYTES)) as usize)
}

impl DmaPort for TranslatedDma<'_> {
    fn read(&mut self, who: Requester, mut from: Iova, mut out: &mut [u8]) -> Result<(), DmaError> {
        while !out.is_empty() {
            let (now, later) = out.split_at_mut(piece_len(from, out.len()));
            self.read_piece(who, from, now)?;
            from = from.wrapping_add(now.len() as u64);
            out = later;
        }
        Ok(())
    }

    fn write(&mut self, who: Requester, mut to: Iova, mut data: &[u8]) -> Result<(), DmaError> {
        while !data.is_empty() {
            let (now, later) = data.split_at(piece_len(to, data.len()));
            self.write_piece(who, to, now)?;
            to = to.wrapping_add(now.len() as u64);
            data = later;
        }
        Ok(())
    }
}

/// DMA for the engines: takes the big lock for each page, so that traps get in between.
#[derive(Debug)]
pub struct LockedDma<'a> {
    /// The slot that it works for.
    pub slot: usize,
    /// The request in it.
    pub task: &'a Task,
}

impl LockedDma<'_> {
    /// Makes one access, unless the request's queue was stopped, its function reset or the engine frozen meanwhile: its data must not be touched
    /// any more.
    fn piece(&self, access: impl FnOnce(&mut TranslatedDma<'_>) -> Result<(), DmaError>) -> Result<(), DmaError> {
        let mut silicon = state::lock();
        if !silicon.may_transfer(self.slot, self.task) {
            return Err(DmaError::Abort);
        }
        let result = access(&mut silicon.dma());
        if let Err(DmaError::Stalled(tag)) = result {
            silicon.note_stall(self.slot, tag);
        }
        result
    }
}

impl DmaPort for LockedDma<'_> {
    fn read(&mut self, who: Requester, mut from: Iova, mut out: &mut [u8]) -> Result<(), DmaError> {
        while !out.is_empty() {
            let (now, later) = out.split_at_mut(piece_len(from, out.len()));
            self.piece(|dma| dma.read_piece(who, from, now))?;
            from = from.wrapping_add(now.len() as u64);
            out = later;
        }
        Ok(())
    }

    fn write(&mut self, who: Requester, mut to: Iova, mut data: &[u8]) -> Result<(), DmaError> {
        while !data.is_empty() {
            let (now, later) = data.split_at(piece_len(to, data.len()));
            self.piece(|dma| dma.write_piece(who, to, now))?;
            to = to.wrapping_add(now.len() as u64);
            data = later;
        }
        Ok(())
    }
}
