#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use dummy_spec::{Request, SQE_WORDS, Sqe, Status};
use hal::{DmaError, DmaPort, Iova, Requester, StallTag, Verdict};

/// No access crosses a multiple of this.
const PIECE_BYTES: u64 = 4096;

/// What one step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Went on; step again.
    Progress,
    /// A memory access waits for software: step again after [`Job::resume`].
    Stalled(StallTag),
    /// The request has ended; here is its entry with the result written.
    Done([u32; SQE_WORDS]),
}

/// The next thing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Bring a piece in.
    Read,
    /// Write out so many bytes of it.
    Write(usize),
    /// Nothing more.
    Ended(Status),
}

/// The piece of data that a job has on its way.
pub struct EngineMemory([u8; PIECE_BYTES as usize]);

impl EngineMemory {
    /// Memory of an idle slot.
    pub const fn new() -> Self {
        Self([0; PIECE_BYTES as usize])
    }
}

impl Default for EngineMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EngineMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineMemory").finish_non_exhaustive()
    }
}

/// One request. Steps of a job always get the same memory.
#[derive(Debug)]
pub struct Job {
    sqe: Sqe,
    who: Requester,
    phase: Phase,
    source: Iova,
    destination: Iova,
    left: u32,
    written: u32,
    verdict: Option<Verdict>,
}

impl Job {
    /// Takes an entry. `who` names the address space that its addresses belong to.
    pub fn start(sqe: [u32; SQE_WORDS], who: Requester) -> Self {
        let sqe = Sqe(sqe);
        let (phase, request) = match sqe.request() {
            Ok(request) => (Phase::Read, request),
            Err(status) => (Phase::Ended(status), Request { source: Iova(0), destination: Iova(0), len_bytes: 0, tag: 0 }),
        };
        let Request { source, destination, len_bytes: left, .. } = request;
        Self { sqe, who, phase, source, destination, left, written: 0, verdict: None }
    }

    /// Bytes written so far.
    pub const fn written_bytes(&self) -> u32 {
        self.written
    }

    /// Decides the access that stalled.
    pub const fn resume(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    /// Makes one access, or ends.
    pub fn step(&mut self, dma: &mut impl DmaPort, memory: &mut EngineMemory) -> Step {
        match self.phase {
            Phase::Read => {
                let len = self.piece_len();
                let piece = &mut memory.0[..len];
                let result = match self.verdict.take() {
                    Some(Verdict::Abort) => Err(DmaError::Abort),
                    Some(Verdict::ReadZeroWriteIgnore) => {
                        piece.fill(0);
                        Ok(())
                    }
                    Some(Verdict::Retry) | None => dma.read(self.who, self.source, piece),
                };
                self.after(result, Phase::Write(len), Status::READ_FAULT)
            }
            Phase::Write(len) => {
                let result = match self.verdict.take() {
                    Some(Verdict::Abort) => Err(DmaError::Abort),
                    Some(Verdict::ReadZeroWriteIgnore) => Ok(()),
                    Some(Verdict::Retry) | None => dma.write(self.who, self.destination, &memory.0[..len]),
                };
                if result.is_ok() {
                    self.source = self.source.wrapping_add(len as u64);
                    self.destination = self.destination.wrapping_add(len as u64);
                    self.left -= len as u32;
                    self.written += len as u32;
                }
                let next = if self.left == 0 { Phase::Ended(Status::COPIED) } else { Phase::Read };
                self.after(result, next, Status::WRITE_FAULT)
            }
            Phase::Ended(status) => {
                self.sqe.set_result(status, self.written);
                Step::Done(self.sqe.0)
            }
        }
    }

    /// What fits before the end of either page.
    fn piece_len(&self) -> usize {
        let room = |at: Iova| PIECE_BYTES - at.offset_in(PIECE_BYTES);
        u64::from(self.left).min(room(self.source)).min(room(self.destination)) as usize
    }

    fn after(&mut self, result: Result<(), DmaError>, next: Phase, fault: Status) -> Step {
        match result {
            Ok(()) => self.phase = next,
            Err(DmaError::Stalled(tag)) => return Step::Stalled(tag),
            Err(DmaError::Abort) => self.phase = Phase::Ended(fault),
        }
        Step::Progress
    }
}
