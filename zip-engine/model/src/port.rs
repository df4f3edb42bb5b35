//! The DMA port of one job: repeats the access that stalled with the verdict that software gave.

use hal::{DmaError, DmaPort, Iova, Requester, Verdict};

/// Longest single access in bytes: no access crosses a translation granule, so that a stall repeats little.
pub(crate) const PIECE_BYTES: u64 = 4096;

/// How many of `wanted` bytes lie in the same piece as `at`.
pub(crate) fn piece(at: Iova, wanted: usize) -> usize {
    let room = PIECE_BYTES - at.offset_in(PIECE_BYTES);
    wanted.min(room as usize)
}

/// The requesters of one job's traffic classes. They differ on V2, where a bus attribute per class decides about the substream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requesters {
    /// Data and stream context reads.
    pub(crate) read: Requester,
    /// Data and stream context writes.
    pub(crate) write: Requester,
    /// Scatter list reads.
    pub(crate) list: Requester,
}

/// A port with the verdict that waits for the next access.
pub(crate) struct Port<'a, D> {
    dma: &'a mut D,
    verdict: &'a mut Option<Verdict>,
    pub(crate) who: Requesters,
}

impl<'a, D: DmaPort> Port<'a, D> {
    pub(crate) fn new(dma: &'a mut D, verdict: &'a mut Option<Verdict>, who: Requesters) -> Self {
        Self { dma, verdict, who }
    }

    /// Reads; `from` and `out` lie in one piece.
    pub(crate) fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        match self.verdict.take() {
            Some(Verdict::Abort) => Err(DmaError::Abort),
            Some(Verdict::ReadZeroWriteIgnore) => {
                out.fill(0);
                Ok(())
            }
            Some(Verdict::Retry) | None => self.dma.read(who, from, out),
        }
    }

    /// Writes; `to` and `data` lie in one piece.
    pub(crate) fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        match self.verdict.take() {
            Some(Verdict::Abort) => Err(DmaError::Abort),
            Some(Verdict::ReadZeroWriteIgnore) => Ok(()),
            Some(Verdict::Retry) | None => self.dma.write(who, to, data),
        }
    }
}
