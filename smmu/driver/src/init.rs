//! The driver's state, bringing an SMMU up and switching it off (IHI 0070, section 6.3; order of writes as its appendix on initialisation).

use core::time::Duration;

use hal::{Clock, DmaMapper, RegisterWindow};
use heapless::{Deque, Vec};
use smmu_spec::{
    command::Operation,
    descriptor::Granule,
    regs::{
        CR0, CR1, CR2, GBPA, IRQ_CTRL, QUEUE_BASE, SMMU_CMDQ_BASE, SMMU_CMDQ_CONS, SMMU_CMDQ_PROD, SMMU_CR0, SMMU_CR0ACK, SMMU_CR1,
        SMMU_CR2, SMMU_EVENTQ_BASE, SMMU_EVENTQ_IRQ_CFG0, SMMU_GBPA, SMMU_GERROR, SMMU_GERROR_IRQ_CFG0, SMMU_GERRORN, SMMU_IRQ_CTRL,
        SMMU_IRQ_CTRLACK, SMMU_PRIQ_BASE, SMMU_PRIQ_IRQ_CFG0, SMMU_PRIQ_IRQ_CFG2, SMMU_STRTAB_BASE, SMMU_STRTAB_BASE_CFG,
    },
};
use tock_registers::fields::FieldValue;

use crate::ats::{AtsBinding, PageEvent, PageGroup};
use crate::cd_table::substream_limit;
use crate::command_queue::CommandQueue;
use crate::completion::Completion;
use crate::error::SmmuError;
use crate::event::Event;
use crate::fault::Stall;
use crate::features::Features;
use crate::guest::Guest;
use crate::ids::{Numbers, Substreams};
use crate::output_queue::{EVENT_INDICES, OutputQueue, PAGE_INDICES};
use crate::port::Port;
use crate::reports::{ReportLimit, Reports};
use crate::space::Space;
use crate::stream::{Route, Stream};
use crate::stream_table::StreamTable;

/// Streams that can be attached at a time.
pub(crate) const MAX_STREAMS: usize = 32;
/// Address spaces in use at a time.
pub(crate) const MAX_SPACES: usize = 512;
/// Guests whose stage 2 is in use at a time.
pub(crate) const MAX_GUESTS: usize = 16;
/// Stalls reported and not yet answered.
pub(crate) const MAX_STALLS: usize = 128;
/// log2 of the longest Event queue that the driver uses.
const MAX_EVENT_QUEUE_LOG2: u8 = 7;
/// log2 of the longest PRI queue that the driver uses.
const MAX_PAGE_QUEUE_LOG2: u8 = 6;
/// Page request events set aside while an address space is taken down: twice a full queue.
pub(crate) const MAX_DEFERRED_PAGES: usize = 2 << MAX_PAGE_QUEUE_LOG2;
/// Page request groups handed out and not yet answered.
pub(crate) const MAX_PAGE_GROUPS: usize = 128;
/// Address spaces that devices may keep translations of.
pub(crate) const MAX_ATS_BINDINGS: usize = 128;
/// Events set aside while an address space is taken down: twice a full queue.
pub(crate) const MAX_DEFERRED: usize = 2 << MAX_EVENT_QUEUE_LOG2;

/// What kind of memory the driver's mapper hands out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableMemory {
    /// Normal write-back memory: needs an SMMU with coherent access.
    Cacheable,
    /// Memory that no CPU caches.
    NonCacheable,
}

/// What the caller decides about an SMMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// log2 of Command queue entries; the SMMU's limit is honoured.
    pub command_queue_log2: u8,
    /// log2 of Event queue entries, at most 7; the SMMU's limit is honoured.
    pub event_queue_log2: u8,
    /// ASID bits of the CPUs that share the tables; the SMMU's limit is honoured.
    pub asid_bits: u8,
    /// StreamID bits to cover; the SMMU's limit is honoured.
    pub stream_bits: u8,
    /// A granule that must exist: the one of the process tables.
    pub granule: Granule,
    /// What the mapper hands out.
    pub memory: TableMemory,
    /// How completion of commands is noticed.
    pub completion: Completion,
    /// How many records of terminated transactions of one stream are reported.
    pub reports: ReportLimit,
    /// How long any single wait may take.
    pub patience: Duration,
}

impl Default for Config {
    /// 256 commands, 128 events, 16 ASID bits, 16 StreamID bits (a PCI segment), 4 KiB granule, cacheable memory, completion by polling,
    /// 4,096 reports of a stream per second, waits of one second.
    fn default() -> Self {
        Self {
            command_queue_log2: 8,
            event_queue_log2: MAX_EVENT_QUEUE_LOG2,
            asid_bits: 16,
            stream_bits: 16,
            granule: Granule::Kib4,
            memory: TableMemory::Cacheable,
            completion: Completion::Poll,
            reports: ReportLimit { burst: 4096, period: Duration::from_secs(1) },
            patience: Duration::from_secs(1),
        }
    }
}

/// An SMMUv3 that translates.
///
/// Every method takes `&mut self`: the owner puts the value behind a lock. No method waits for a device, only for the SMMU.
pub struct Smmu<W, C, M: DmaMapper> {
    pub(crate) port: Port<W, C, M>,
    pub(crate) config: Config,
    pub(crate) features: Features,
    pub(crate) commands: CommandQueue<M::Buffer>,
    pub(crate) events: OutputQueue<M::Buffer, 4>,
    pub(crate) table: StreamTable<M::Buffer>,
    pub(crate) streams: Vec<Stream<M::Buffer>, MAX_STREAMS>,
    pub(crate) spaces: Vec<Space, MAX_SPACES>,
    pub(crate) substreams: Substreams,
    pub(crate) asids: Numbers<1024>,
    /// Few are enough for those who share the few streams.
    pub(crate) vmids: Numbers<4>,
    pub(crate) guests: Vec<Guest, MAX_GUESTS>,
    pub(crate) stalls: Vec<Stall, MAX_STALLS>,
    pub(crate) deferred: Deque<Event, MAX_DEFERRED>,
    /// `None` without PRI.
    pub(crate) pages: Option<OutputQueue<M::Buffer, 2>>,
    pub(crate) ats: Vec<AtsBinding, MAX_ATS_BINDINGS>,
    pub(crate) page_groups: Vec<PageGroup, MAX_PAGE_GROUPS>,
    pub(crate) deferred_pages: Deque<PageEvent, MAX_DEFERRED_PAGES>,
    pub(crate) serial: u64,
    /// Of streams that are not attached, and of overflows.
    pub(crate) stray_reports: Reports,
}

fn with_log2(base: u64, log2_entries: u32) -> u64 {
    (QUEUE_BASE::ADDR.val(base >> QUEUE_BASE::ADDR.shift) + QUEUE_BASE::LOG2SIZE.val(u64::from(log2_entries)) + QUEUE_BASE::ALLOC::SET)
        .value
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper> Smmu<W, C, M> {
    /// Probes the SMMU, takes it over from whoever had it, and enables translation with every stream aborting.
    ///
    /// Traffic is aborted from the first write on (where GBPA.ABORT exists). If this fails the SMMU is off, and all memory was given back
    /// unless the SMMU did not even acknowledge being switched off.
    ///
    /// # Errors
    /// `Refused`, `Memory`, `Timeout`, `BadIndex`, `Command`.
    pub fn init(window: W, clock: C, memory: M, config: Config) -> Result<Self, SmmuError> {
        let mut slot = None;
        Self::init_in(&mut slot, window, clock, memory, config)?;
        slot.ok_or(SmmuError::Dead)
    }

    /// As [`Smmu::init`], in place: the value is large, and whoever keeps it in a static or a box spares the stack its copies. What `slot`
    /// held before is dropped; after an error it is empty.
    ///
    /// # Errors
    /// As [`Smmu::init`].
    pub fn init_in(slot: &mut Option<Self>, window: W, clock: C, memory: M, config: Config) -> Result<&mut Self, SmmuError> {
        *slot = None;
        let features = Features::probe(&window, &config)?;
        let completion = config.completion.settle(&features)?;
        let commands = CommandQueue::new(&memory, u32::from(config.command_queue_log2.min(features.command_queue_log2)), completion)?;
        let log2 = u32::from(config.event_queue_log2.min(features.event_queue_log2).min(MAX_EVENT_QUEUE_LOG2));
        let events = match OutputQueue::new(&memory, EVENT_INDICES, log2) {
            Ok(events) => events,
            Err(error) => {
                commands.free(&memory);
                return Err(error);
            }
        };
        let table = match StreamTable::new(&memory, &features, config.stream_bits) {
            Ok(table) => table,
            Err(error) => {
                events.free(&memory);
                commands.free(&memory);
                return Err(error);
            }
        };
        let pages = if features.has_pri {
            match OutputQueue::new(&memory, PAGE_INDICES, u32::from(features.page_queue_log2.min(MAX_PAGE_QUEUE_LOG2))) {
                Ok(pages) => Some(pages),
                Err(error) => {
                    table.free(&memory);
                    events.free(&memory);
                    commands.free(&memory);
                    return Err(error);
                }
            }
        } else {
            None
        };
        let smmu = slot.insert(Self {
            port: Port { window, clock, memory, patience: config.patience },
            config,
            features,
            commands,
            events,
            table,
            streams: Vec::new(),
            spaces: Vec::new(),
            substreams: Substreams::new(substream_limit(&features)),
            asids: Numbers::new(1 << features.asid_bits.min(config.asid_bits)),
            vmids: Numbers::new(1 << features.vmid_bits),
            guests: Vec::new(),
            stalls: Vec::new(),
            deferred: Deque::new(),
            pages,
            ats: Vec::new(),
            page_groups: Vec::new(),
            deferred_pages: Deque::new(),
            serial: 0,
            stray_reports: Reports::default(),
        });
        if let Err(error) = smmu.bring_up() {
            let is_off = smmu.halt().is_ok();
            Self::give_up(slot, is_off);
            return Err(error);
        }
        slot.as_mut().ok_or(SmmuError::Dead)
    }

    /// Empties the slot; the memory goes back if the SMMU is off. Not inlined: here the value does pass through the stack.
    #[cold]
    #[inline(never)]
    fn give_up(slot: &mut Option<Self>, is_off: bool) {
        if let Some(smmu) = slot.take().filter(|_| is_off) {
            smmu.free();
        }
    }

    /// What this SMMU can do.
    pub const fn features(&self) -> &Features {
        &self.features
    }

    /// Aborts all traffic, switches the SMMU off and gives its memory back. Stalled transactions end with an abort.
    ///
    /// # Errors
    /// `Timeout`: the SMMU may still use its structures, which are then never freed.
    pub fn shutdown(mut self) -> Result<(), SmmuError> {
        for at in 0..self.streams.len() {
            // Stalls are ended by command; if that fails, switching off ends them just as well.
            let _ = self.block(self.streams[at].id);
        }
        self.halt()?;
        self.free();
        Ok(())
    }

    fn free(self) {
        let memory = &self.port.memory;
        for stream in self.streams {
            if let Route::Contexts { table, .. } = stream.route {
                table.free(memory);
            }
        }
        self.table.free(memory);
        if let Some(pages) = self.pages {
            pages.free(memory);
        }
        self.events.free(memory);
        self.commands.free(memory);
    }

    /// Aborts what passes while translation is off; false where the SMMU cannot (GBPA is read-as-zero there).
    fn abort_while_disabled(&self) -> Result<bool, SmmuError> {
        let update = GBPA::UPDATE::SET.value;
        self.port.wait(&SMMU_GBPA, update, 0)?;
        let attributes = SMMU_GBPA.get(&self.port.window);
        SMMU_GBPA.set(&self.port.window, attributes | GBPA::ABORT::SET.value | update);
        self.port.wait(&SMMU_GBPA, update, 0)?;
        Ok(SMMU_GBPA.read(&self.port.window).is_set(GBPA::ABORT))
    }

    /// Switches the SMMU off for good.
    pub(crate) fn halt(&mut self) -> Result<(), SmmuError> {
        self.commands.kill();
        self.switch_off()
    }

    /// GBPA.ABORT, then everything off.
    fn switch_off(&mut self) -> Result<(), SmmuError> {
        let aborts = self.abort_while_disabled()?;
        self.features.aborts_while_disabled = aborts;
        self.port.wait(&SMMU_CR0ACK, self.acknowledged_bits(), SMMU_CR0.get(&self.port.window) & self.acknowledged_bits())?;
        self.set_cr0(0)?;
        // Before the write, an earlier one must have been acknowledged here too.
        self.port.wait(&SMMU_IRQ_CTRLACK, self.irq_bits().value, SMMU_IRQ_CTRL.get(&self.port.window) & self.irq_bits().value)?;
        SMMU_IRQ_CTRL.set(&self.port.window, 0);
        Ok(self.port.wait(&SMMU_IRQ_CTRLACK, self.irq_bits().value, 0)?)
    }

    /// The CR0 bits that exist here: others are never acknowledged.
    fn acknowledged_bits(&self) -> u32 {
        let mut bits = CR0::SMMUEN::SET + CR0::EVENTQEN::SET + CR0::CMDQEN::SET;
        if self.features.has_pri {
            bits += CR0::PRIQEN::SET;
        }
        if self.features.has_ats {
            bits += CR0::ATSCHK::SET;
        }
        bits.value
    }

    fn irq_bits(&self) -> FieldValue<u32, IRQ_CTRL::Register> {
        let bits = IRQ_CTRL::GERROR_IRQEN::SET + IRQ_CTRL::EVENTQ_IRQEN::SET;
        if self.features.has_pri { bits + IRQ_CTRL::PRIQ_IRQEN::SET } else { bits }
    }

    fn set_cr0(&self, value: u32) -> Result<(), SmmuError> {
        SMMU_CR0.set(&self.port.window, value);
        Ok(self.port.wait(&SMMU_CR0ACK, self.acknowledged_bits(), value)?)
    }

    fn bring_up(&mut self) -> Result<(), SmmuError> {
        self.switch_off()?;
        let window = &self.port.window;

        let cacheable = CR1::QUEUE_IC::WriteBack
            + CR1::QUEUE_OC::WriteBack
            + CR1::QUEUE_SH::Inner
            + CR1::TABLE_IC::WriteBack
            + CR1::TABLE_OC::WriteBack
            + CR1::TABLE_SH::Inner;
        SMMU_CR1.set(window, if self.config.memory == TableMemory::Cacheable { cacheable.value } else { 0 });
        let mut cr2 = CR2::RECINVSID::SET;
        if self.features.has_broadcast_tlbi {
            cr2 += CR2::PTM::SET;
        }
        SMMU_CR2.write(window, cr2);
        SMMU_STRTAB_BASE.set(window, self.table.base());
        SMMU_STRTAB_BASE_CFG.set(window, self.table.shape());
        // Errors of whoever came before are not ours: nothing is active when the queues start.
        SMMU_GERRORN.set(window, SMMU_GERROR.get(window));

        SMMU_CMDQ_BASE.set(window, with_log2(self.commands.base(), self.commands.log2_entries()));
        SMMU_CMDQ_PROD.set(window, 0);
        SMMU_CMDQ_CONS.set(window, 0);
        let mut cr0 = CR0::CMDQEN::SET;
        self.set_cr0(cr0.value)?;

        // Configuration first, so that stale configuration cannot refill the TLB.
        self.commands.push(&self.port, Operation::CFGI_ALL)?;
        self.commands.sync(&self.port)?;
        if self.features.has_hyp {
            self.commands.push(&self.port, Operation::TlbiEl2All)?;
        }
        self.commands.push(&self.port, Operation::TlbiNsnhAll)?;
        self.commands.sync(&self.port)?;

        let window = &self.port.window;
        SMMU_EVENTQ_BASE.set(window, with_log2(self.events.base(), self.events.log2_entries()));
        self.events.reset(&self.port);
        cr0 += CR0::EVENTQEN::SET;
        self.set_cr0(cr0.value)?;
        if let Some(pages) = &self.pages {
            SMMU_PRIQ_BASE.set(window, with_log2(pages.base(), pages.log2_entries()));
            pages.reset(&self.port);
            cr0 += CR0::PRIQEN::SET;
            self.set_cr0(cr0.value)?;
        }
        if self.features.has_ats {
            // Translated traffic is checked against the permission of its stream.
            cr0 += CR0::ATSCHK::SET;
            self.set_cr0(cr0.value)?;
        }

        if self.features.has_msi {
            SMMU_GERROR_IRQ_CFG0.set(window, 0);
            SMMU_EVENTQ_IRQ_CFG0.set(window, 0);
        }
        if self.features.has_pri {
            if self.features.has_msi {
                SMMU_PRIQ_IRQ_CFG0.set(window, 0);
            }
            // An interrupt for every request that finds the queue empty.
            SMMU_PRIQ_IRQ_CFG2.set(window, 0);
        }
        let irqs = self.irq_bits();
        SMMU_IRQ_CTRL.write(window, irqs);
        self.port.wait(&SMMU_IRQ_CTRLACK, self.irq_bits().value, irqs.value)?;

        cr0 += CR0::SMMUEN::SET;
        self.set_cr0(cr0.value)
    }
}
