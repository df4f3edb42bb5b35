//! Any bytes as a submission entry and the memory around it: the job ends, in a bounded number of steps, and what it tells is within what it was given.

use hal::{DmaError, DmaPort, Iova, Requester, StallTag, StreamId, Verdict};
use zip_model::{Direction, EngineMemory, Job, Step};
use zip_spec::{Capabilities, Completion, Sqe};

const BASE: u64 = 0x1_0000;
const MEMORY_BYTES: usize = 1 << 20;
const WHO: Requester = Requester { stream: StreamId(8), substream: None, privileged: false };

/// Memory that stalls now and then, aborts outside, and is what the bytes say.
struct Memory {
    bytes: Vec<u8>,
    /// Every so many accesses stalls; 0 for never.
    stall_every: u64,
    accesses: u64,
    refused: bool,
}

impl Memory {
    fn place(&mut self, at: Iova, len: usize) -> Result<usize, DmaError> {
        self.accesses += 1;
        if self.stall_every != 0 && self.accesses % self.stall_every == 0 && !self.refused {
            self.refused = true;
            return Err(DmaError::Stalled(StallTag { stream: WHO.stream, stag: self.accesses as u16 }));
        }
        self.refused = false;
        let from = at.0.checked_sub(BASE).ok_or(DmaError::Abort)? as usize;
        let end = from.checked_add(len).filter(|end| *end <= MEMORY_BYTES).ok_or(DmaError::Abort)?;
        assert!(len > 0 && at.0 / 4096 == (at.0 + len as u64 - 1) / 4096, "an access crosses a page");
        Ok(end - len)
    }
}

impl DmaPort for Memory {
    fn read(&mut self, _: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        let at = self.place(from, out.len())?;
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
        Ok(())
    }
    fn write(&mut self, _: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        let at = self.place(to, data.len())?;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

thread_local! {
    static ENGINE: std::cell::RefCell<Box<EngineMemory>> = std::cell::RefCell::default();
}

/// The first byte chooses part, direction and stalls; 128 bytes are the entry, whose addresses are brought near memory; the rest fills memory.
pub fn body(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let Some((entry, rest)) = data.split_first_chunk::<128>() else { return };
    let mut sqe = Sqe(core::array::from_fn(|i| u32::from_le_bytes([entry[4 * i], entry[4 * i + 1], entry[4 * i + 2], entry[4 * i + 3]])));
    if choice & 1 == 0 {
        // Mostly well formed: what is behind the first checks is to be reached.
        sqe.0[7] &= 0xfeff_ffff;
        sqe.0[7] = sqe.0[7] & 0x0fff_ffff | 0x3000_0000;
        sqe.0[8] &= 0xff_ffff;
        (sqe.0[10], sqe.0[12]) = (0, 0);
        let types = [1, 2, 3, 4, 0x40, 0x41, 0x42, 0x43];
        sqe.0[9] = types[(sqe.0[9] & 7) as usize] | (sqe.0[9] >> 8 & 1) << 8 | (sqe.0[9] >> 12 & 3) << 12;
        for word in [4, 13, 14] {
            sqe.0[word] &= 0x3_ffff;
        }
        for low in [18, 20, 22, 24] {
            sqe.0[low] = BASE as u32 + (sqe.0[low] & 0xf_ffc0);
            sqe.0[low + 1] = 0;
        }
        if sqe.0[9] & 0x100 == 0 {
            (sqe.0[7], sqe.0[8]) = (sqe.0[7] & 0xff00_0000, 0);
        }
    }
    let mut bytes = vec![0; MEMORY_BYTES];
    if !rest.is_empty() {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = rest[at % rest.len()];
        }
    }
    let mut memory = Memory { bytes, stall_every: u64::from(choice >> 4), accesses: 0, refused: false };
    let capabilities = [Capabilities::V2, Capabilities::V3, Capabilities::V5, Capabilities::V5][usize::from(choice >> 1 & 3)];
    let direction = if choice & 8 == 0 { Direction::Compress } else { Direction::Decompress };
    ENGINE.with_borrow_mut(|engine| {
        let mut job = Job::with_capabilities(sqe.0, direction, WHO, &capabilities);
        let mut steps = 0u64;
        let done = loop {
            match job.step(&mut memory, engine) {
                Step::Progress => {}
                Step::Stalled(_) => job.resume(Verdict::Retry),
                Step::Done(words) => break Sqe(words),
            }
            steps += 1;
            assert!(steps < 1_000_000, "wedged: {job:?}");
        };
        let completion = Completion::from(&done);
        let is_lz77 = sqe.request_type().is_lz77();
        assert!(completion.consumed <= sqe.0[4].max(completion.consumed * u32::from(!completion.status.is_good())), "{done:?}");
        assert!(is_lz77 || completion.produced <= sqe.0[14], "{done:?}");
        // Each access moves something, but for lists, whose entries are bounded, and the stream context, which is moved twice at most.
        let moved = job.moved_bytes();
        let bound = 4 * (u64::from(sqe.0[4]) + u64::from(moved.1)) + 2 * 256 * 257 + 64;
        assert!(memory.accesses <= 2 * bound, "{} accesses for {moved:?}: {done:?}", memory.accesses);
    });
}
