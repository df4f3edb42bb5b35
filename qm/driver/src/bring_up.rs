//! Bringing the function up and down, in the order of F.1 and F.3.

use hal::{Clock, DmaBuffer, DmaMapper, Iova, Reg, RegisterWindow, poll_until};
use qm_spec::regs::{am, function, pf};
use qm_spec::{
    CAP_FUNCTIONS, CONTEXT_BYTES, CQC_VFT, DepthCaps, Doorbell, DusLayout, EQE_BYTES, EqcFields, Mailbox, MailboxCommand, MailboxOp,
    PhaseRing, QUEUE_NUMBERS, QmVersion, RAS_ALL, RasMasks, SqcVft, VftType,
};
use tock_registers::RegisterLongName;

use crate::{Parameters, Qm, QmError, QmState, Role};

/// What the part says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Ring depths.
    pub depths: DepthCaps,
    /// Every queue has its own doorbell page.
    pub isolated_doorbells: bool,
    /// STOP_QP exists.
    pub stop_qp: bool,
    /// A shaper gives every function its bandwidth.
    pub shaper: bool,
    /// Functions can send each other messages.
    pub peer_messages: bool,
    /// The engine prefetches translations.
    pub sva_prefetch: bool,
    /// Error classes.
    pub ras: RasMasks,
    /// Queues of the device.
    pub device_queues: u16,
    /// Most queues of one function.
    pub function_queues: u16,
}

impl Capabilities {
    /// The constants of a version (B.2).
    pub const fn defaults(version: QmVersion) -> Self {
        let v3 = matches!(version, QmVersion::V3);
        Self {
            depths: DepthCaps::of(version),
            isolated_doorbells: false,
            stop_qp: v3,
            shaper: v3,
            peer_messages: v3,
            sva_prefetch: v3,
            ras: RasMasks::of(version),
            device_queues: 0x400,
            function_queues: 0x400,
        }
    }

    /// Layout of a queue's shared block.
    pub const fn layout(&self, parameters: &Parameters) -> DusLayout {
        DusLayout::new(1 << parameters.engine.log2_sqe_bytes, self.depths.sq as usize, self.depths.cq as usize, parameters.page_bytes)
    }
}

/// Where things lie in the block that the device and the driver share for the whole function (C.5).
#[derive(Clone, Copy)]
pub struct FunctionLayout {
    pub eq: usize,
    pub aeq: usize,
    sqc: usize,
    cqc: usize,
    len_bytes: usize,
}

impl FunctionLayout {
    const fn new(depths: &DepthCaps, queues: u16) -> Self {
        let eq_bytes = (EQE_BYTES * depths.eq as usize).next_multiple_of(32);
        let aeq_bytes = (EQE_BYTES * depths.aeq as usize).next_multiple_of(32);
        let table_bytes = CONTEXT_BYTES * queues as usize;
        let sqc = eq_bytes + aeq_bytes;
        Self { eq: 0, aeq: eq_bytes, sqc, cqc: sqc + table_bytes, len_bytes: sqc + 2 * table_bytes }
    }
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Waits for `bits` of a register.
    pub(crate) fn await_bits<R: RegisterLongName>(&self, register: Reg<u32, R>, bits: u32) -> Result<(), QmError> {
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            seen = register.get(&self.registers);
            (seen & bits == bits).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: register.offset(), wanted: bits, seen })
    }

    /// Waits until a register reads 0.
    pub(crate) fn await_clear<R: RegisterLongName>(&self, register: Reg<u32, R>) -> Result<(), QmError> {
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            seen = register.get(&self.registers);
            (seen == 0).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: register.offset(), wanted: 0, seen })
    }

    /// A virtual function says whether it can be used (VF_STATE).
    fn set_ready_state(&self, ready: bool) {
        if self.role == Role::Virtual && self.parameters.version == QmVersion::V3 {
            function::VF_STATE.set(&self.registers, u32::from(!ready));
        }
    }

    /// Reads what the part can do and sets up everything but queues: internal memory, bus attributes, caches, error classes. The engine's own
    /// registers are set up between this and [`start`](Self::start).
    ///
    /// # Errors
    /// [`QmError::Unsupported`] for version 1 or senseless capabilities, [`QmError::TooManyQueues`], [`QmError::RegisterTimeout`],
    /// [`QmError::Alloc`].
    pub fn initialise(&mut self) -> Result<(), QmError> {
        if self.state != QmState::Down {
            return Err(QmError::WrongFunctionState(self.state));
        }
        self.read_capabilities()?;
        if self.context.is_none() {
            self.context = Some(self.mapper.alloc(CONTEXT_BYTES, CONTEXT_BYTES)?);
        }
        if self.role == Role::Virtual {
            // Its queues are what the physical function gave it; everything of the device is the physical function's.
            let share = self.read_share()?.ok_or(QmError::NoSuchQueue)?;
            self.queue_count = share.count.min(self.parameters.queues).min(QUEUES as u16);
            self.open_peer_messages();
            self.state = QmState::Initialised;
            return Ok(());
        }
        self.choose_queue_count()?;
        let registers = &self.registers;
        pf::ABNORMAL_INT_MASK.set(registers, RAS_ALL);
        pf::DB_TIMEOUT_CFG.set(registers, pf::DB_TIMEOUT_VALUE);
        if self.parameters.version == QmVersion::V3 {
            let power = pf::PM_CTRL.get(registers) | pf::PM::IDLE_DISABLE::SET.value;
            pf::PM_CTRL.set(registers, power);
        }
        pf::MEM_START_INIT.write(registers, function::FLAG::BIT::SET);
        self.await_bits(pf::MEM_INIT_DONE, 1)?;
        self.set_bus_and_cache();
        self.set_error_classes();
        self.open_peer_messages();
        self.state = QmState::Initialised;
        Ok(())
    }

    fn read_capabilities(&mut self) -> Result<(), QmError> {
        let version = self.parameters.version;
        let registers = &self.registers;
        let mut capabilities = Capabilities::defaults(version);
        match version {
            QmVersion::V1 => return Err(QmError::Unsupported),
            QmVersion::V2 => {}
            QmVersion::V3 => {
                capabilities.isolated_doorbells = function::QUE_ISO_CFG_V.read(registers).is_set(function::FLAG::BIT);
                let functions = function::CAPABILITY.read(registers);
                if functions.read(CAP_FUNCTIONS::VERSION) != 0 {
                    capabilities.stop_qp = functions.is_set(CAP_FUNCTIONS::STOP_QP);
                    capabilities.shaper = functions.is_set(CAP_FUNCTIONS::SHAPER);
                    capabilities.peer_messages = functions.is_set(CAP_FUNCTIONS::PF_VF);
                    capabilities.sva_prefetch = functions.is_set(CAP_FUNCTIONS::SVA_PREFETCH);
                    capabilities.depths =
                        DepthCaps::decode(function::CAP_EVENT_DEPTHS.get(registers), function::CAP_QUEUE_DEPTHS.get(registers));
                    let reset_shutdown = function::CAP_RESET_SHUTDOWN.get(registers);
                    capabilities.ras = RasMasks {
                        ce: function::CAP_CE.get(registers) & RAS_ALL,
                        nfe: function::CAP_NFE.get(registers) & RAS_ALL,
                        reset: reset_shutdown & 0xffff & RAS_ALL,
                        shutdown: reset_shutdown >> 16 & RAS_ALL,
                    };
                }
                if self.role == Role::Physical {
                    let numbers = pf::QUEUE_NUM.read(registers);
                    capabilities.device_queues = numbers.read(QUEUE_NUMBERS::TOTAL) as u16;
                    if capabilities.isolated_doorbells {
                        capabilities.function_queues = numbers.read(QUEUE_NUMBERS::MAX) as u16;
                    }
                }
            }
        }
        let depths = &capabilities.depths;
        let deep = |depth: u16, most: u16| (2..=most).contains(&depth);
        // SQ and CQ depths have 12 bits in the context.
        if !(deep(depths.sq, 4096) && deep(depths.cq, 4096) && deep(depths.eq, u16::MAX) && deep(depths.aeq, u16::MAX)) {
            return Err(QmError::Unsupported);
        }
        if capabilities.isolated_doorbells && self.doorbell_pages.is_none() {
            return Err(QmError::Unsupported);
        }
        self.layout = capabilities.layout(&self.parameters);
        self.capabilities = capabilities;
        Ok(())
    }

    fn choose_queue_count(&mut self) -> Result<(), QmError> {
        let wanted = self.parameters.queues;
        let most = self.capabilities.device_queues.min(self.capabilities.function_queues);
        let available = most.min(u16::try_from(QUEUES).unwrap_or(u16::MAX));
        if wanted > available {
            return Err(QmError::TooManyQueues { wanted, available });
        }
        if wanted < 2 {
            return Err(QmError::Invalid);
        }
        self.queue_count = wanted;
        Ok(())
    }

    /// Bus attributes, then caches (B.6).
    pub(crate) fn set_bus_and_cache(&self) {
        let registers = &self.registers;
        pf::ARUSER_M_CFG_1.set(registers, pf::AXUSER_PLAIN);
        pf::ARUSER_M_CFG_ENABLE.set(registers, pf::AXUSER_ENABLE);
        pf::AWUSER_M_CFG_1.set(registers, pf::AXUSER_PLAIN);
        pf::AWUSER_M_CFG_ENABLE.set(registers, pf::AXUSER_ENABLE);
        pf::WUSER_M_CFG_ENABLE.set(registers, pf::ENABLE_ALL);
        pf::AXI_M_CFG.set(registers, pf::AXI_M_CFG_VALUE);
        pf::AXI_M_CFG_ENABLE.set(registers, pf::ENABLE_ALL);
        pf::PEH_AXUSER_CFG.set(registers, pf::PEH_AXUSER_VALUE);
        pf::PEH_AXUSER_CFG_ENABLE.set(registers, pf::ENABLE_ALL);
        let caches = pf::CACHE::SQC::SET
            + pf::CACHE::CQC::SET
            + pf::CACHE::SQC_WB::SET
            + pf::CACHE::SQC_THRESHOLD.val(1)
            + pf::CACHE::CQC_WB::SET
            + pf::CACHE::CQC_THRESHOLD.val(1);
        pf::CACHE_CTL.write(registers, caches);
    }

    pub(crate) fn set_error_classes(&self) {
        let registers = &self.registers;
        let ras = &self.capabilities.ras;
        pf::ABNORMAL_INT_SOURCE.set(registers, ras.reported());
        pf::RAS_CE_ENABLE.set(registers, ras.ce);
        pf::RAS_CE_THRESHOLD.set(registers, 1);
        pf::RAS_NFE_ENABLE.set(registers, ras.nfe);
        pf::RAS_FE_ENABLE.set(registers, 0);
        if self.parameters.version == QmVersion::V3 {
            pf::OOO_SHUTDOWN_SEL.set(registers, ras.shutdown);
        }
        pf::ABNORMAL_INT_MASK.set(registers, RAS_ALL & !ras.reported());
    }

    /// Lets queues be used: VFT, contexts of the event queues, backing tables, page size, doorbells, interrupts.
    ///
    /// # Errors
    /// [`QmError::WrongFunctionState`], [`QmError::Alloc`], [`QmError::RegisterTimeout`], [`QmError::Mailbox`]. What was allocated stays with the
    /// driver; the call can be repeated.
    pub fn start(&mut self) -> Result<(), QmError> {
        if self.state != QmState::Initialised {
            return Err(QmError::WrongFunctionState(self.state));
        }
        let depths = self.capabilities.depths;
        let layout = FunctionLayout::new(&depths, self.queue_count);
        if self.function_memory.is_none() {
            self.function_memory = Some(self.mapper.alloc(layout.len_bytes, 4096)?);
        }
        let Some(base) = self.function_memory.as_ref().map(|memory| {
            // Phase bits of an earlier life must not look new.
            memory.zero(0, layout.len_bytes);
            memory.device_address()
        }) else {
            return Err(QmError::WrongFunctionState(self.state));
        };
        self.eq = PhaseRing::new(depths.eq.into());
        self.aeq = PhaseRing::new(depths.aeq.into());
        if self.role == Role::Physical {
            self.give_share(0, Some(SqcVft { first: 0, count: self.queue_count }))?;
        }
        self.load_context(MailboxCommand::EQC, 0, &EqcFields::fresh(base.wrapping_add(layout.eq as u64), depths.eq.into()).encode())?;
        self.load_context(MailboxCommand::AEQC, 0, &EqcFields::fresh(base.wrapping_add(layout.aeq as u64), depths.aeq.into()).encode())?;
        self.set_table(MailboxCommand::SQC_BT, base.wrapping_add(layout.sqc as u64))?;
        self.set_table(MailboxCommand::CQC_BT, base.wrapping_add(layout.cqc as u64))?;
        if self.capabilities.sva_prefetch {
            let code = match self.parameters.page_bytes {
                0x4000 => 1,
                0x1_0000 => 2,
                _ => 0,
            };
            function::PAGE_SIZE.set(&self.registers, code);
        }
        self.ring_events(Doorbell::aeq(0));
        self.ring_events(Doorbell::eq(0));
        function::VF_EQ_INT_MASK.set(&self.registers, 0);
        function::VF_AEQ_INT_MASK.set(&self.registers, 0);
        self.set_ready_state(true);
        self.state = QmState::Started;
        Ok(())
    }

    fn set_table(&mut self, command: MailboxCommand, base: Iova) -> Result<(), QmError> {
        Ok(self.mailbox(Mailbox::with_address(command, MailboxOp::Write, 0, base), self.parameters.timeouts.mailbox)?)
    }

    /// Gives a function its share of queues, or takes it away, with the burst that every such change is (B.5): SQC, CQC, base rates, two shaper
    /// entries.
    pub(crate) fn give_share(&mut self, function: u16, share: Option<SqcVft>) -> Result<(), QmError> {
        self.write_vft(VftType::SQC, function.into(), share.map_or(0, |share| share.encode()))?;
        self.write_vft(VftType::CQC, function.into(), share.map_or(0, |_| CQC_VFT::VALID::SET.value))?;
        if self.capabilities.shaper { self.write_shaper(function) } else { Ok(()) }
    }

    /// One VFT operation (B.5).
    pub(crate) fn write_vft(&self, table: VftType, address: u32, entry: u64) -> Result<(), QmError> {
        self.await_bits(pf::VFT_CFG_RDY, 1)?;
        let registers = &self.registers;
        pf::VFT_CFG_OP_WR.set(registers, 0);
        pf::VFT_CFG_TYPE.set(registers, table.0);
        pf::VFT_CFG.set(registers, address);
        pf::VFT_CFG_DATA_L.set(registers, entry as u32);
        pf::VFT_CFG_DATA_H.set(registers, (entry >> 32) as u32);
        pf::VFT_CFG_RDY.set(registers, 0);
        pf::VFT_CFG_OP_ENABLE.set(registers, 1);
        self.await_bits(pf::VFT_CFG_RDY, 1)
    }

    /// Reads back which queues the device believes to be ours.
    ///
    /// # Errors
    /// [`QmError::Mailbox`], [`QmError::Resetting`].
    pub fn read_share(&mut self) -> Result<Option<SqcVft>, QmError> {
        self.must_not_be_resetting()?;
        Ok(SqcVft::decode(self.mailbox_read(MailboxCommand::SQC_VFT, 0)?))
    }

    /// Stops every queue and the function, and gives memory back that the device can no longer reach. With queues that would not drain, or a
    /// mailbox that owes an answer, the memory concerned stays with the device for ever.
    ///
    /// # Errors
    /// The first error met. The interrupts are masked in any case; a second call goes on where it can.
    pub fn shutdown(&mut self) -> Result<(), QmError> {
        match self.state {
            QmState::Down => return Ok(()),
            QmState::Resetting => return Err(QmError::WrongFunctionState(self.state)),
            QmState::Initialised | QmState::Started => {}
        }
        if self.vfs != 0 {
            return Err(QmError::VfsEnabled);
        }
        let mut first = None;
        for qn in 0..self.queue_count {
            if let Err(error) = self.retire_queue(qn) {
                first = first.or(Some(error));
            }
        }
        function::VF_EQ_INT_MASK.set(&self.registers, 1);
        function::VF_AEQ_INT_MASK.set(&self.registers, 1);
        if self.role == Role::Physical {
            pf::ABNORMAL_INT_MASK.set(&self.registers, RAS_ALL);
        }
        if let Some(error) = first {
            // Taking the share away now would end those queues under the engine's hands, and nothing could be told about them any more.
            return Err(error);
        }
        self.close_peer_messages();
        self.set_ready_state(false);
        if self.role == Role::Physical {
            self.give_share(0, None)?;
            // Nothing more may be under way before memory goes: the bus must say so.
            am::MASTER_GLOBAL_CTRL.write(&self.registers, function::FLAG::BIT::SET);
            self.await_bits(am::TRANS_RETURN, 3)?;
            am::MASTER_GLOBAL_CTRL.set(&self.registers, 0);
        } else {
            // The last contexts go to the tables before these are freed; the function reports itself idle when nothing is under way.
            self.write_back_contexts()?;
            self.await_clear(function::DFX_FUNS_ACTIVE_ST)?;
        }
        self.state = QmState::Down;
        self.eq = None;
        self.aeq = None;
        for qn in 0..QUEUES {
            if let Some(block) = self.queues[qn].take_block() {
                self.mapper.free(block);
            }
        }
        if !self.mailbox_owes {
            for buffer in [self.context.take(), self.function_memory.take()].into_iter().flatten() {
                self.mapper.free(buffer);
            }
        }
        Ok(())
    }
}
