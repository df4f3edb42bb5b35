//! A hardware queue of this process: request, send, receive, wait, flush, release.
//!
//! Sending and receiving touch mapped memory only. The doorbell index is the ring position and the phase bit tells new from old; they
//! are the only synchronisation with the device. Everything that the device or the kernel writes is read once and checked.

use hal::Region;
use qm_spec::{Arm, CQE_W2, CQE_W3, Doorbell, DusLayout};
use uacce_abi::{Command, Errno, Fd, PAGE_BYTES, PollFd};
use zip_spec::Sqe;

use crate::node::Match;
use crate::{Library, QueueFormat, QueueMemory, QueueRegions, RingEntry, Sharing, System, Wanted, WdError};

/// How long [`wd_recv_sync`] sleeps before it looks at the ring by itself: the kernel's own cursor may have run ahead of the user's.
const POLL_SLICE_NANOSECONDS: u64 = 50_000_000;

/// How a wait for a completion is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompletionWait {
    /// Looks at the ring before the first sleep.
    pub spins: u32,
    /// Longest sleep, all slices together.
    pub timeout_nanoseconds: u64,
}

impl CompletionWait {
    /// Spins a while, then sleeps up to 60 seconds.
    pub const PATIENT: Self = Self { spins: 2_000, timeout_nanoseconds: 60_000_000_000 };
}

/// A started queue of entries `E`. Dropping it gives it back.
pub struct WdQueue<'s, S: System, E: RingEntry = Sqe> {
    system: &'s S,
    fd: Fd,
    format: QueueFormat,
    sharing: Sharing,
    memory: S::Memory<E>,
    /// Doorbell words with index 0.
    sq_doorbell: u64,
    cq_doorbell: u64,
    cq_doorbell_arm: u64,
    sq_depth: u32,
    cq_depth: u32,
    sq_tail: u32,
    cq_head: u32,
    /// Dword 3 of a valid completion has this in its phase bit.
    phase: u32,
    in_flight: u32,
    number: u16,
}

/// Phase bit of dword 3 of a completion (C.4).
const PHASE: u32 = CQE_W3::PHASE.mask << CQE_W3::PHASE.shift;
/// Index field of a doorbell.
const INDEX_SHIFT: u32 = 32;

/// Requests a queue of the compression engine: see [`Library::request`], which does it for any engine.
///
/// # Errors
/// `NoDevice`, `NoSva`, `NoInstance`, `BadLayout`, `SharedDoorbells`, `Kernel`.
pub fn wd_request_queue<'s, S: System>(system: &'s S, wanted: &Wanted<'_>) -> Result<WdQueue<'s, S>, WdError> {
    Library::ZIP.request(system, wanted)
}

/// Gives a queue back. What is in flight is abandoned; the kernel waits until the device has let go of the rings.
///
/// # Errors
/// `Kernel`: the handle is gone all the same.
pub fn wd_release_queue<S: System, E: RingEntry>(mut queue: WdQueue<'_, S, E>) -> Result<(), WdError> {
    queue.close()
}

/// Submits a request; it is copied into the ring. One store traps into nothing but the device.
///
/// # Errors
/// `Busy` if the ring is full, `Stopped` if the queue takes no more.
pub fn wd_send<S: System, E: RingEntry>(queue: &mut WdQueue<'_, S, E>, entry: &E) -> Result<(), WdError> {
    queue.send(entry)
}

/// Submits several requests with one doorbell; returns how many found room, from the front.
///
/// # Errors
/// `Busy` if not even one did, `Stopped`.
pub fn wd_send_batch<S: System, E: RingEntry>(queue: &mut WdQueue<'_, S, E>, entries: &[E]) -> Result<usize, WdError> {
    queue.send_batch(entries)
}

/// Receives the completions that are there, the oldest first, as many as `into` has room for, with one doorbell; returns their number.
///
/// # Errors
/// `Again` if nothing is there, `Stopped`, `BadCompletion`. Behind good completions an error is kept for the next call.
pub fn wd_recv_batch<S: System, E: RingEntry>(queue: &mut WdQueue<'_, S, E>, into: &mut [E]) -> Result<usize, WdError> {
    queue.receive_batch(into)
}

/// Receives the oldest completion, if there is one: copies the finished entry.
///
/// # Errors
/// `Again` if nothing is there, `Stopped`, `BadCompletion`.
pub fn wd_recv<S: System, E: RingEntry>(queue: &mut WdQueue<'_, S, E>, into: &mut E) -> Result<(), WdError> {
    queue.receive(into)
}

/// Receives a completion, sleeping in the kernel until there is one.
///
/// # Errors
/// `TimedOut`, `Stopped`, `BadCompletion`, `Kernel`.
pub fn wd_recv_sync<S: System, E: RingEntry>(queue: &mut WdQueue<'_, S, E>, into: &mut E, wait: CompletionWait) -> Result<(), WdError> {
    queue.receive_sync(into, wait)
}

/// Drains the queue: receives every request in flight and hands each to `sink`. Afterwards nothing is in flight.
///
/// # Errors
/// As [`wd_recv_sync`], per request; those not handed out are still in flight.
pub fn wd_flush<S: System, E: RingEntry>(
    queue: &mut WdQueue<'_, S, E>,
    wait: CompletionWait,
    mut sink: impl FnMut(&E),
) -> Result<(), WdError> {
    let mut entry = E::ZERO;
    while queue.in_flight > 0 {
        queue.receive_sync(&mut entry, wait)?;
        sink(&entry);
    }
    Ok(())
}

/// From an open handle to a started queue; closes the handle on failure.
pub(crate) fn set_up<'s, S: System, E: RingEntry>(
    system: &'s S,
    fd: Fd,
    found: &Match<'_>,
    wanted: &Wanted<'_>,
) -> Result<WdQueue<'s, S, E>, WdError> {
    let result = map_and_start(system, fd, found, wanted);
    if result.is_err() {
        // The first error is the one to report.
        let _ = system.close(fd);
    }
    result
}

fn map_and_start<'s, S: System, E: RingEntry>(
    system: &'s S,
    fd: Fd,
    found: &Match<'_>,
    wanted: &Wanted<'_>,
) -> Result<WdQueue<'s, S, E>, WdError> {
    let number = system.set_qp_context(fd, wanted.direction as u16)?;
    let info = system.set_qp_info(fd)?;
    let layout = DusLayout::new(info.sqe_size as usize, usize::from(info.sq_depth), usize::from(info.cq_depth), PAGE_BYTES as usize);
    let format = found.format;
    let is_sound = info.sqe_size as usize == E::BYTES
        && info.sq_depth >= 2
        && info.cq_depth >= 2
        && layout.len_bytes() as u64 == found.dus_bytes
        && found.mmio_bytes >= format.doorbell_offset as u64 + 8;
    if !is_sound {
        return Err(WdError::BadLayout {
            sqe_bytes: info.sqe_size,
            sq_depth: info.sq_depth,
            cq_depth: info.cq_depth,
            region_bytes: found.dus_bytes,
        });
    }
    let dus = system.map_region(fd, Region::Dus, found.dus_bytes)?;
    let mmio = system.map_region(fd, Region::Mmio, found.mmio_bytes).map_err(|errno| match errno {
        // The region does not exist where a page of it would ring for other queues.
        Errno::EINVAL => WdError::SharedDoorbells,
        errno => errno.into(),
    })?;
    system.ioctl(fd, Command::START_Q)?;
    let regions = QueueRegions {
        dus,
        layout,
        sq_depth: info.sq_depth,
        cq_depth: info.cq_depth,
        mmio,
        mmio_bytes: found.mmio_bytes,
        doorbell_offset: format.doorbell_offset,
    };
    Ok(WdQueue {
        system,
        fd,
        format,
        sharing: found.sharing,
        memory: system.queue_memory(&regions),
        sq_doorbell: Doorbell::sq(number, 0).encode(format.doorbell),
        cq_doorbell: Doorbell::cq(number, 0, Arm::No).encode(format.doorbell),
        cq_doorbell_arm: Doorbell::cq(number, 0, Arm::NextEvent).encode(format.doorbell),
        sq_depth: info.sq_depth.into(),
        cq_depth: info.cq_depth.into(),
        sq_tail: 0,
        cq_head: 0,
        phase: PHASE,
        in_flight: 0,
        number,
    })
}

impl<S: System, E: RingEntry> WdQueue<'_, S, E> {
    /// Requests sent and not yet received.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The queue's format.
    pub const fn format(&self) -> &QueueFormat {
        &self.format
    }

    /// The queue's handle.
    pub const fn fd(&self) -> Fd {
        self.fd
    }

    /// The queue's number in its function.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Most requests that can be in flight; 0 once the library has stopped the queue.
    pub const fn capacity(&self) -> u32 {
        self.sq_depth - 1
    }

    /// How the device's memory and the process's meet.
    pub const fn sharing(&self) -> Sharing {
        self.sharing
    }

    pub(crate) fn system(&self) -> &S {
        self.system
    }

    /// See [`wd_send`].
    ///
    /// # Errors
    /// `Busy`, `Stopped`.
    #[inline]
    pub fn send(&mut self, entry: &E) -> Result<(), WdError> {
        if self.in_flight == self.sq_depth.wrapping_sub(1) {
            return Err(self.no_room());
        }
        self.memory.write_entry(self.sq_tail, entry);
        // Read late, so that a queue that was stopped meanwhile is not rung.
        if self.memory.is_tx_stopped() {
            return Err(WdError::Stopped);
        }
        // Both stay below the depth, a 16-bit number: wrapping is a word for the compiler.
        let next = self.sq_tail.wrapping_add(1);
        self.sq_tail = if next == self.sq_depth { 0 } else { next };
        self.in_flight = self.in_flight.wrapping_add(1);
        // The entry, and the data it points to, before the doorbell.
        self.system.dma_wmb();
        self.memory.ring_doorbell(self.sq_doorbell | u64::from(self.sq_tail) << INDEX_SHIFT);
        Ok(())
    }

    /// Why a submission finds no room.
    #[cold]
    fn no_room(&self) -> WdError {
        if self.capacity() == 0 { WdError::Stopped } else { WdError::Busy }
    }

    /// See [`wd_send_batch`].
    ///
    /// # Errors
    /// `Busy`, `Stopped`.
    #[inline]
    pub fn send_batch(&mut self, entries: &[E]) -> Result<usize, WdError> {
        let room = self.capacity().wrapping_sub(self.in_flight) as usize;
        let entries = entries.get(..room).unwrap_or(entries);
        if entries.is_empty() {
            return Err(self.no_room());
        }
        let mut tail = self.sq_tail;
        for entry in entries {
            self.memory.write_entry(tail, entry);
            let next = tail.wrapping_add(1);
            tail = if next == self.sq_depth { 0 } else { next };
        }
        if self.memory.is_tx_stopped() {
            return Err(WdError::Stopped);
        }
        self.sq_tail = tail;
        self.in_flight = self.in_flight.wrapping_add(entries.len() as u32);
        // All entries, and the data they point to, before the doorbell.
        self.system.dma_wmb();
        self.memory.ring_doorbell(self.sq_doorbell | u64::from(self.sq_tail) << INDEX_SHIFT);
        Ok(entries.len())
    }

    /// See [`wd_recv_batch`].
    ///
    /// # Errors
    /// `Again`, `Stopped`, `BadCompletion`.
    #[inline]
    pub fn receive_batch(&mut self, into: &mut [E]) -> Result<usize, WdError> {
        let mut count = 0;
        for entry in into {
            match self.take(entry) {
                Ok(()) => count += 1,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if count == 0 {
            return Err(WdError::Again);
        }
        self.memory.ring_doorbell(self.cq_doorbell | u64::from(self.cq_head) << INDEX_SHIFT);
        Ok(count)
    }

    /// See [`wd_recv`].
    ///
    /// # Errors
    /// `Again`, `Stopped`, `BadCompletion`.
    #[inline]
    pub fn receive(&mut self, into: &mut E) -> Result<(), WdError> {
        self.take(into)?;
        self.memory.ring_doorbell(self.cq_doorbell | u64::from(self.cq_head) << INDEX_SHIFT);
        Ok(())
    }

    /// Writes an entry into the ring; the device is not told yet.
    ///
    /// # Errors
    /// `Busy`, `Stopped`.
    pub(crate) fn put(&mut self, entry: &E) -> Result<(), WdError> {
        if self.in_flight == self.capacity() {
            return Err(self.no_room());
        }
        self.memory.write_entry(self.sq_tail, entry);
        let next = self.sq_tail.wrapping_add(1);
        self.sq_tail = if next == self.sq_depth { 0 } else { next };
        self.in_flight = self.in_flight.wrapping_add(1);
        Ok(())
    }

    /// Tells the device of what was put.
    ///
    /// # Errors
    /// `Stopped`.
    pub(crate) fn ring(&mut self) -> Result<(), WdError> {
        if self.memory.is_tx_stopped() {
            return Err(WdError::Stopped);
        }
        // What was put, and the data it points to, before the doorbell.
        self.system.dma_wmb();
        self.memory.ring_doorbell(self.sq_doorbell | u64::from(self.sq_tail) << INDEX_SHIFT);
        Ok(())
    }

    /// Tells the device of what was taken.
    pub(crate) fn acknowledge(&mut self) {
        self.memory.ring_doorbell(self.cq_doorbell | u64::from(self.cq_head) << INDEX_SHIFT);
    }

    /// Stops the queue: the kernel waits until the device has let go of all that requests name, and what is in flight is lost. The queue takes
    /// nothing more.
    pub(crate) fn halt(&mut self) {
        // A refusal means that the device is gone already, or that this is a copy of the process, of whose memory the device knows nothing; or
        // that the device does not stop, which nothing here can change: its PASID is cut off with the last of the process's queues there.
        let _ = self.system.ioctl(self.fd, Command::PUT_Q);
        (self.sq_depth, self.in_flight) = (1, 0);
    }

    /// Takes the oldest completion; the device is not told yet.
    #[inline(always)]
    pub(crate) fn take(&mut self, into: &mut E) -> Result<(), WdError> {
        if self.memory.is_rx_stopped() {
            return Err(WdError::Stopped);
        }
        if (self.memory.completion_dw3(self.cq_head) ^ self.phase) & PHASE != 0 {
            return Err(WdError::Again);
        }
        // Nothing of the completion, of the entry or of the data is older than the phase bit.
        self.system.dma_rmb();
        let dw2 = self.memory.completion_dw2(self.cq_head);
        let (sq_head, sq_num) = (CQE_W2::SQ_HEAD.read(dw2), CQE_W2::SQ_NUM.read(dw2));
        if sq_head >= self.sq_depth || sq_num != u32::from(self.number) || self.in_flight == 0 {
            return Err(WdError::BadCompletion { sq_head: sq_head as u16, sq_num: sq_num as u16 });
        }
        self.memory.read_entry(sq_head, into);
        // A reset may have come between the first look and here: the copy cannot be trusted then.
        if self.memory.is_rx_stopped() {
            return Err(WdError::Stopped);
        }
        let next = self.cq_head.wrapping_add(1);
        if next == self.cq_depth {
            self.cq_head = 0;
            self.phase ^= PHASE;
        } else {
            self.cq_head = next;
        }
        self.in_flight = self.in_flight.wrapping_sub(1);
        Ok(())
    }

    /// See [`wd_recv_sync`].
    ///
    /// # Errors
    /// `TimedOut`, `Stopped`, `BadCompletion`, `Kernel`.
    pub fn receive_sync(&mut self, into: &mut E, wait: CompletionWait) -> Result<(), WdError> {
        for _ in 0..wait.spins {
            match self.receive(into) {
                Err(WdError::Again) => self.system.relax(),
                other => return other,
            }
        }
        let mut left = wait.timeout_nanoseconds;
        loop {
            // Armed first, looked at second: a completion in between is either seen here or raises the event.
            self.memory.ring_doorbell(self.cq_doorbell_arm | u64::from(self.cq_head) << INDEX_SHIFT);
            match self.receive(into) {
                Err(WdError::Again) => {}
                other => return other,
            }
            if left == 0 {
                return Err(WdError::TimedOut);
            }
            let slice = left.min(POLL_SLICE_NANOSECONDS);
            left -= slice;
            let mut entries = [PollFd::new(self.fd)];
            self.system.poll(&mut entries, slice)?;
            if entries[0].revents & (PollFd::ERR | PollFd::NVAL) != 0 {
                // What is complete already may still be taken, unless the stop word says otherwise.
                return match self.receive(into) {
                    Err(WdError::Again) => Err(WdError::Stopped),
                    other => other,
                };
            }
        }
    }

    fn close(&mut self) -> Result<(), WdError> {
        if self.fd.0 < 0 {
            return Ok(());
        }
        let put = self.system.ioctl(self.fd, Command::PUT_Q);
        let closed = self.system.close(self.fd);
        self.fd = Fd(-1);
        Ok(put.and(closed)?)
    }
}

impl<S: System, E: RingEntry> Drop for WdQueue<'_, S, E> {
    fn drop(&mut self) {
        // A refusal leaves nothing to do here: the kernel takes every handle back when the process ends.
        let _ = self.close();
    }
}
