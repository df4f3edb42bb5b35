//! The function's own transactions: plain stream, and the verdict of a resumed stall applied to the access that waited.

use hal::{DmaError, DmaPort, Iova, Requester, StreamId, Verdict};

/// One access, perhaps with a verdict that decides it instead of the bus.
pub struct Access {
    who: Requester,
    verdict: Option<Verdict>,
    master: bool,
}

impl Access {
    /// An access of function `stream`; refused at once unless `master` (PCI bus master enable).
    pub fn new(stream: StreamId, verdict: Option<Verdict>, master: bool) -> Self {
        Self { who: Requester { stream, substream: None, privileged: false }, verdict, master }
    }

    fn decided(&mut self) -> Option<Result<(), DmaError>> {
        if !self.master {
            return Some(Err(DmaError::Abort));
        }
        match self.verdict.take() {
            None | Some(Verdict::Retry) => None,
            Some(Verdict::Abort) => Some(Err(DmaError::Abort)),
            Some(Verdict::ReadZeroWriteIgnore) => Some(Ok(())),
        }
    }

    /// Reads; `out` is zeroed if the verdict says so.
    pub fn read(mut self, dma: &mut impl DmaPort, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        match self.decided() {
            Some(Ok(())) => {
                out.fill(0);
                Ok(())
            }
            Some(error) => error,
            None => dma.read(self.who, from, out),
        }
    }

    /// Writes.
    pub fn write(mut self, dma: &mut impl DmaPort, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        match self.decided() {
            Some(result) => result,
            None => dma.write(self.who, to, data),
        }
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> crate::QmModel<QUEUES, FUNCTIONS> {
    /// An access of function `f`.
    pub(crate) fn access(&self, f: usize, verdict: Option<Verdict>) -> Access {
        Access::new(self.stream_of(f), verdict, self.functions[f].pci.bus_master())
    }
}
