//! ATS and PRI: streams whose devices keep translations and ask for pages (IHI 0070, sections 3.9, 4.5, 8).

use hal::{Clock, DmaMapper, RegisterWindow, StreamId, SubstreamId, Va};
use smmu_spec::command::{Operation, PriResponse};
use smmu_spec::pri::PageRequest;

use crate::error::SmmuError;
use crate::init::{MAX_DEFERRED_PAGES, Smmu};
use crate::output_queue::Head;

/// CMD_ATC_INV.Size for every address.
const EVERYTHING: u8 = 52;

/// What a device says about its page requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtsOptions {
    /// "PRG Response PASID Required": answers to requests with a PASID carry it.
    pub response_carries_substream: bool,
}

/// One address space that a device may keep translations of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AtsBinding {
    stream: StreamId,
    substream: Option<SubstreamId>,
    asid: u16,
}

impl AtsBinding {
    pub(crate) fn is_of(&self, stream: StreamId) -> bool {
        self.stream == stream
    }
}

/// A page request group whose last request was handed out, and which waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageGroup {
    /// Which device.
    pub stream: StreamId,
    /// In which address space.
    pub substream: Option<SubstreamId>,
    /// Which group.
    pub prg_index: u16,
}

const fn group_of(request: &PageRequest) -> PageGroup {
    PageGroup { stream: request.stream, substream: request.substream, prg_index: request.prg_index }
}

/// What a device asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageEvent {
    /// A page. With `last` set its group is complete and waits for [`respond`](Smmu::respond).
    Request(PageRequest),
    /// The device has stopped using this address space: no request of it follows. Needs no answer.
    Stopped {
        /// Which device.
        stream: StreamId,
        /// Which address space.
        substream: Option<SubstreamId>,
    },
    /// Requests were lost. Groups without their last request are void: the device asks again.
    RequestsLost,
}

/// The answer to a page request group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageAnswer {
    /// Try again.
    Success,
    /// The access is not allowed.
    Invalid,
    /// Send no more page requests.
    Failure,
}

/// Smallest naturally aligned power-of-two block of 4 KiB pages that covers `[first, last]`: address and Size of CMD_ATC_INV.
fn block(first: u64, last: u64) -> (u64, u8) {
    let size = (64 - ((first >> 12) ^ (last >> 12)).leading_zeros()) as u8;
    if size >= EVERYTHING { (0, EVERYTHING) } else { (first >> (12 + size) << (12 + size), size) }
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Lets the device of `stream` keep translations and ask for pages. To be called before anything is bound; afterwards ATS, then PRI are
    /// switched on in the device.
    ///
    /// # Errors
    /// `NoAts`, `NoSuchStream`, `StreamBound`, `NoRoom`; or a failure of the command queue.
    pub fn enable_ats(&mut self, stream: StreamId, options: AtsOptions) -> Result<(), SmmuError> {
        if !self.features.has_ats {
            return Err(SmmuError::NoAts);
        }
        let at = self.translating(stream)?;
        if self.streams[at].bound > 0 {
            return Err(SmmuError::StreamBound(stream));
        }
        if let Some(asid) = self.streams[at].kernel_asid {
            self.note_ats(stream, None, asid)?;
        }
        self.streams[at].ats = Some(options);
        self.write_entry(at)
    }

    /// Undoes [`enable_ats`](Self::enable_ats). ATS and PRI must be off in the device. Page requests that wait for an answer are refused.
    ///
    /// # Errors
    /// `NoSuchStream`, `StreamBound`, `NoRoom` (events wait to be fetched); or a failure of the command queue.
    pub fn disable_ats(&mut self, stream: StreamId) -> Result<(), SmmuError> {
        let at = self.translating(stream)?;
        if self.streams[at].bound > 0 {
            return Err(SmmuError::StreamBound(stream));
        }
        self.commands.push(&self.port, Operation::AtcInv { stream, substream: None, global: false, address: 0, size: EVERYTHING })?;
        self.commands.sync(&self.port)?;
        self.streams[at].ats = None;
        self.write_entry(at)?;
        self.ats.retain(|b| b.stream != stream);
        // Asked for before PRI was switched off.
        self.flush_page_requests()
    }

    /// Notes that a device may hold translations of an address space.
    pub(crate) fn note_ats(&mut self, stream: StreamId, substream: Option<SubstreamId>, asid: u16) -> Result<(), SmmuError> {
        self.ats.retain(|b| (b.stream, b.substream) != (stream, substream));
        self.ats.push(AtsBinding { stream, substream, asid }).map_err(|_| SmmuError::NoRoom)
    }

    /// Forgets a binding that [`note_ats`](Self::note_ats) made.
    pub(crate) fn forget_ats(&mut self, stream: StreamId, substream: Option<SubstreamId>) {
        self.ats.retain(|b| (b.stream, b.substream) != (stream, substream));
    }

    /// Drops what devices hold of an address space, after the TLB's own entries are gone: `[first, last]`, or everything.
    pub(crate) fn invalidate_devices(&mut self, asid: u16, range: Option<(Va, u64)>) -> Result<(), SmmuError> {
        let (address, size) = range.map_or((0, EVERYTHING), |(first, last)| block(first.0, last));
        let mut any = false;
        for at in 0..self.ats.len() {
            let AtsBinding { stream, substream, asid: owner } = self.ats[at];
            if owner == asid {
                self.commands.push(&self.port, Operation::AtcInv { stream, substream, global: false, address, size })?;
                any = true;
            }
        }
        if any { self.commands.sync(&self.port) } else { Ok(()) }
    }

    /// Fetches the next page request. The handler of the PRI interrupt calls it until it answers `None`.
    ///
    /// Requests of devices or address spaces that are not bound are refused here.
    ///
    /// # Errors
    /// `NoRoom` while too many groups are unanswered. `BadIndex`; or a failure of the command queue.
    pub fn next_page_event(&mut self) -> Result<Option<PageEvent>, SmmuError> {
        match self.deferred_pages.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.fetch_page_event(),
        }
    }

    fn fetch_page_event(&mut self) -> Result<Option<PageEvent>, SmmuError> {
        // Bounded: no more than two queues of refused requests at a time.
        for _ in 0..MAX_DEFERRED_PAGES {
            let Some(queue) = &mut self.pages else { return Ok(None) };
            let request = match queue.head(&self.port)? {
                None => return Ok(None),
                Some(Head::Overflow) => {
                    queue.advance(&self.port);
                    return Ok(Some(PageEvent::RequestsLost));
                }
                Some(Head::Entry(words)) => PageRequest::decode(words),
            };
            if self.page_groups.is_full() {
                return Err(SmmuError::NoRoom);
            }
            queue.advance(&self.port);
            let group = group_of(&request);
            if request.is_stop_marker() {
                return Ok(Some(PageEvent::Stopped { stream: group.stream, substream: group.substream }));
            }
            if !self.asks_rightly(&group) {
                if request.last {
                    self.send_response(group, PageAnswer::Invalid)?;
                }
                continue;
            }
            if request.last {
                // A group that comes again was answered by the SMMU itself, in an overflow.
                self.page_groups.retain(|g| *g != group);
                let _ = self.page_groups.push(group);
            }
            return Ok(Some(PageEvent::Request(request)));
        }
        Err(SmmuError::NoRoom)
    }

    /// True if the device uses ATS and the address space is bound.
    fn asks_rightly(&self, group: &PageGroup) -> bool {
        self.streams.iter().any(|s| s.id == group.stream && s.ats.is_some()) && self.has_owner(group.stream, group.substream)
    }

    /// Answers a group, once.
    ///
    /// # Errors
    /// `UnknownGroup` if no such group waits (unbinding answers all groups of its address space); or a failure of the command queue.
    pub fn respond(&mut self, group: PageGroup, answer: PageAnswer) -> Result<(), SmmuError> {
        let at = self.page_groups.iter().position(|g| *g == group).ok_or(SmmuError::UnknownGroup)?;
        self.page_groups.swap_remove(at);
        self.send_response(group, answer)
    }

    fn send_response(&mut self, group: PageGroup, answer: PageAnswer) -> Result<(), SmmuError> {
        let carries = self.streams.iter().any(|s| s.id == group.stream && s.ats.is_some_and(|o| o.response_carries_substream));
        let response = match answer {
            PageAnswer::Success => PriResponse::Success,
            PageAnswer::Invalid => PriResponse::Invalid,
            PageAnswer::Failure => PriResponse::Failure,
        };
        let substream = group.substream.filter(|_| carries);
        self.commands.push(&self.port, Operation::PriResp { stream: group.stream, substream, prg_index: group.prg_index, response })?;
        self.commands.submit(&self.port);
        Ok(())
    }

    /// Refuses the groups that have lost their owner, and reads the queue so far that no request of a dead address space is left in it.
    pub(crate) fn flush_page_requests(&mut self) -> Result<(), SmmuError> {
        // Requests that were set aside for a caller who will not come.
        for _ in 0..self.deferred_pages.len() {
            let Some(event) = self.deferred_pages.pop_front() else { break };
            let is_void = matches!(event, PageEvent::Request(request) if !self.asks_rightly(&group_of(&request)));
            if !is_void {
                let _ = self.deferred_pages.push_back(event);
            }
        }
        let mut at = 0;
        while let Some(group) = self.page_groups.get(at).copied() {
            if self.asks_rightly(&group) {
                at += 1;
            } else {
                self.page_groups.swap_remove(at);
                self.send_response(group, PageAnswer::Invalid)?;
            }
        }
        for _ in 0..MAX_DEFERRED_PAGES {
            if self.deferred_pages.is_full() {
                return Err(SmmuError::NoRoom);
            }
            let Some(event) = self.fetch_page_event()? else { return Ok(()) };
            let _ = self.deferred_pages.push_back(event);
        }
        Err(SmmuError::NoRoom)
    }
}

#[cfg(test)]
mod tests {
    use super::block;

    #[test]
    fn blocks_cover_their_range_and_are_aligned() {
        assert_eq!(block(0x7000, 0x7fff), (0x7000, 0));
        assert_eq!(block(0x7000, 0x8fff), (0, 4));
        assert_eq!(block(0x8000, 0xffff), (0x8000, 3));
        assert_eq!(block(0, u64::MAX), (0, 52));
        for (first, last) in [(0x1234_5000_u64, 0x1239_9fff_u64), (0xffff_0000_0000, 0xffff_0000_0fff), (0, 1 << 47)] {
            let (address, size) = block(first, last);
            assert!(address <= first && last < address + (0x1000 << size) && address % (0x1000 << size) == 0);
        }
    }
}
