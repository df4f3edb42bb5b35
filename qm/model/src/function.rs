//! What each function has of its own, and the messages between the physical function and its virtual ones (B.9).

use core::ops::Range;

use hal::{DmaPort, StreamId};
use qm_spec::regs::{function, pf};
use qm_spec::{ALL_VFS, MailboxStatus, vector};

use crate::QmModel;
use crate::event::{AsyncFifo, EventFifo, EventRing};
use crate::interrupt::Msi;
use crate::mailbox::MailboxState;
use crate::pci::PciSpace;
use crate::queue::CompletionQueue;
use crate::ready::LEVELS;
use crate::registers::FunctionCells;
use crate::writeback::WriteBack;

/// Number of the physical function.
pub const PF: usize = 0;
/// Destination in IFC_INT_CFG that means every virtual function.
const EVERY_VF: u32 = 0x7f;

/// The state of one function. Its queues lie in the device's arrays, where its share begins.
pub struct Function<const QUEUES: usize> {
    pub pci: PciSpace,
    pub msi: Msi,
    pub cells: FunctionCells,
    pub mailbox: MailboxState,
    pub write_back: WriteBack,
    pub eq: EventRing,
    pub aeq: EventRing,
    pub events: EventFifo<QUEUES>,
    /// Queues whose next event waits until software has consumed their last one.
    pub events_again: u16,
    pub async_events: AsyncFifo<QUEUES>,
    pub mailboxes: u32,
    pub doorbells: u32,
    /// First device queue and number of queues; an empty share unless both VFT entries are valid.
    pub first: u16,
    pub count: u16,
    /// Queues of this function that have something to run.
    pub ready: u16,
    /// Where the next search begins, per priority.
    pub cursors: [u16; LEVELS],
    /// Work done so far, each unit divided by the function's weight at that time.
    pub virtual_time: u64,
    /// A message of the peer waits (IFC_INT_SOURCE_V).
    pub peer_source: bool,
    /// A VF's message has not been acknowledged by the PF (IFC_INT_SET_V).
    pub peer_set: bool,
    /// The last message from the PF to this VF, and the other way.
    pub from_pf: u64,
    pub to_pf: u64,
}

impl<const QUEUES: usize> Function<QUEUES> {
    pub const fn new() -> Self {
        Self {
            pci: PciSpace::new(),
            msi: Msi::new(),
            cells: FunctionCells::new(),
            mailbox: MailboxState::new(),
            write_back: WriteBack::new(),
            eq: EventRing::new(),
            aeq: EventRing::new(),
            events: EventFifo::new(),
            events_again: 0,
            async_events: AsyncFifo::new(),
            mailboxes: 0,
            doorbells: 0,
            first: 0,
            count: 0,
            ready: 0,
            cursors: [0; LEVELS],
            virtual_time: 0,
            peer_source: false,
            peer_set: false,
            from_pf: 0,
            to_pf: 0,
        }
    }

    /// Device queues of this function.
    pub fn queues(&self) -> Range<usize> {
        usize::from(self.first)..usize::from(self.first) + usize::from(self.count)
    }

    fn peer_masked(&self) -> bool {
        self.cells.get(function::IFC_INT_MASK.offset()) & 1 == 1
    }

    /// Forgets events and the rings that they go to.
    pub fn forget_events(&mut self) {
        self.eq = EventRing::new();
        self.aeq = EventRing::new();
        self.events = EventFifo::new();
        self.events_again = 0;
        self.async_events = AsyncFifo::new();
    }
}

impl<const QUEUES: usize, const FUNCTIONS: usize> QmModel<QUEUES, FUNCTIONS> {
    /// StreamID of a function: virtual functions follow the physical one.
    pub(crate) const fn stream_of(&self, f: usize) -> StreamId {
        StreamId(self.config.stream.0 + f as u32)
    }

    /// Index in the device's arrays of a function's queue.
    pub(crate) fn device_queue(&self, f: usize, qn: u16) -> usize {
        (usize::from(self.functions[f].first) + usize::from(qn)) % QUEUES
    }

    /// Number that its owner gives a device queue.
    pub(crate) fn local_queue(&self, at: usize) -> (usize, u16) {
        let f = usize::from(self.sq[at].owner) % FUNCTIONS;
        (f, (at as u16).wrapping_sub(self.functions[f].first))
    }

    /// Number of queues that the VFT gives function `f`.
    pub(crate) fn share_of(&self, f: usize) -> u16 {
        self.functions[f].count
    }

    /// Ends every life in a share and forgets what the function's events said of it.
    pub(crate) fn end_share(&mut self, f: usize) {
        for at in self.functions[f].queues() {
            self.set_ready(at, false);
            self.sq[at].end_life();
            self.cq[at] = CompletionQueue::new();
        }
        self.functions[f].events = EventFifo::new();
        self.functions[f].events_again = 0;
        self.functions[f].async_events = AsyncFifo::new();
    }

    /// Function-level reset of function `f` behind its configuration space. The share stays: it is the physical function's to give.
    pub(crate) fn reset_function(&mut self, f: usize) {
        self.end_share(f);
        let function = &mut self.functions[f];
        function.msi.forget();
        function.cells = FunctionCells::new();
        function.mailbox = MailboxState::new();
        function.write_back = WriteBack::new();
        function.forget_events();
        (function.peer_source, function.peer_set, function.from_pf, function.to_pf) = (false, false, 0, 0);
        self.peers_ready &= !(1 << f);
        self.peers_source &= !(1 << f);
    }

    /// SRC: posts a message. Only neighbours in the hierarchy can be named.
    pub(crate) fn post_peer_message(&mut self, f: usize, to: u16, message: u64) -> MailboxStatus {
        match (f, to) {
            (PF, ALL_VFS) if self.virtual_functions() != 0 => {
                for vf in 1..=usize::from(self.virtual_functions()) {
                    self.functions[vf].from_pf = message;
                }
            }
            (PF, vf) if vf != 0 && vf <= self.virtual_functions() => self.functions[usize::from(vf)].from_pf = message,
            (vf, 0) if vf != PF => self.functions[vf].to_pf = message,
            _ => return MailboxStatus::NO_PEER,
        }
        MailboxStatus::SUCCESS
    }

    /// DST: the message that a peer posted last.
    pub(crate) fn peer_message(&self, f: usize, from: u16) -> Option<u64> {
        match (f, from) {
            (PF, vf) if vf != 0 && vf <= self.virtual_functions() => Some(self.functions[usize::from(vf)].to_pf),
            (vf, 0) if vf != PF => Some(self.functions[vf].from_pf),
            _ => None,
        }
    }

    /// IFC_INT_SET_P: tells the functions of IFC_INT_CFG that a message waits.
    pub(crate) fn ring_peers(&mut self, dma: &mut impl DmaPort) {
        let destination = self.storage.get(pf::IFC_INT_CFG) & 0x7f;
        for vf in 1..=usize::from(self.virtual_functions()) {
            if destination == EVERY_VF || destination == vf as u32 {
                self.peers_ready |= 1 << vf;
                self.notify_peer(vf, dma);
            }
        }
    }

    /// IFC_INT_SET_V of a VF: tells the physical function.
    pub(crate) fn ring_physical(&mut self, f: usize, dma: &mut impl DmaPort) {
        if f != PF {
            self.functions[f].peer_set = true;
            self.peers_source |= 1 << f;
            self.notify_peer(PF, dma);
        }
    }

    fn notify_peer(&mut self, f: usize, dma: &mut impl DmaPort) {
        self.functions[f].peer_source = true;
        if !self.functions[f].peer_masked() {
            self.send_message(f, vector::MAILBOX, dma);
        }
    }

    /// IFC_INT_MASK; a waiting message is told when it opens.
    pub(crate) fn set_peer_mask(&mut self, f: usize, value: u32, dma: &mut impl DmaPort) {
        let was = self.functions[f].peer_masked();
        self.functions[f].cells.set(function::IFC_INT_MASK.offset(), value & 1);
        if was && value & 1 == 0 && self.functions[f].peer_source {
            self.send_message(f, vector::MAILBOX, dma);
        }
    }

    /// IFC_INT_STATUS.
    pub(crate) fn peer_status(&self, f: usize) -> bool {
        self.functions[f].peer_source && !self.functions[f].peer_masked()
    }

    /// IFC_INT_SOURCE_V: acknowledges the peer's message.
    pub(crate) fn acknowledge_peer(&mut self, f: usize) {
        self.functions[f].peer_source = false;
        self.peers_ready &= !(1 << f);
    }

    /// IFC_INT_SOURCE_P: acknowledges the messages of the VFs in `bits`.
    pub(crate) fn acknowledge_virtual(&mut self, bits: u64) {
        self.peers_source &= !bits;
        for f in 1..FUNCTIONS {
            if bits >> f & 1 == 1 {
                self.functions[f].peer_set = false;
            }
        }
    }
}
