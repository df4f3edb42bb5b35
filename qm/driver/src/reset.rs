//! Controller reset and function-level reset (F.6, F.7), suspend and resume (F.9), and the rate of errors.
//!
//! A reset that fails half-way leaves the device isolated: no queue is handed out, users have both stop words, and no memory is freed that the
//! device may still reach. A later reset that works ends that.

use core::time::Duration;

use hal::{Clock, ConfigSpace, DmaBuffer, DmaMapper, PlatformReset, Reg, RegisterWindow, ResetError, StreamId, poll_until};
use qm_spec::pci::{self, sriov};
use qm_spec::regs::{am, function, pf};
use qm_spec::{ALL_VFS, PeerCommand, PeerMessage, QmVersion, RAS, RAS_ALL};
use tock_registers::RegisterLongName;

use crate::sriov::find_sriov;
use crate::{Qm, QmError, QmState, QpState, Role, Snapshot};

/// What a reset needs besides the queue manager.
pub struct Surroundings<'a> {
    /// Configuration space of the physical function.
    pub config: &'a dyn ConfigSpace,
    /// The platform's reset.
    pub platform: &'a dyn PlatformReset,
    /// The device, as the platform knows it.
    pub device: StreamId,
    /// Stops what the engine does by itself (prefetch); false if that does not end.
    pub quiesce_engine: &'a mut dyn FnMut() -> bool,
    /// Sets the engine's registers up after the reset; false if that fails.
    pub initialise_engine: &'a mut dyn FnMut() -> bool,
}

/// A step of a reset that can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetStep {
    /// MSI off and drained.
    QuietMessages,
    /// Memory decode of the virtual functions off.
    VfMemoryOff,
    /// AXI master stopped and drained. A failure is a bus lock: only the whole system's reset helps.
    BusShutdown,
    /// Engine quiet.
    QuiesceEngine,
    /// Memory decode of the physical function off.
    MemoryOff,
    /// The platform's reset.
    Platform,
    /// Memory decode and MSI on.
    MemoryOn,
    /// Queue manager's registers and internal memory.
    Initialise,
    /// Engine's registers.
    InitialiseEngine,
    /// Shares, event queues, interrupts.
    Start,
    /// Shares of the virtual functions.
    VfShares,
}

/// A reset that did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetFailure {
    /// Where it failed.
    pub step: ResetStep,
    /// How.
    pub error: QmError,
}

/// A reset that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reset {
    /// Requests of queues that the kernel drives which were submitted and will never complete.
    pub cancelled: u32,
    /// Bits of the virtual functions that did not stop or did not start again in time.
    pub silent_vfs: u64,
    /// Registers before the device was stopped.
    pub last_words: Snapshot,
}

const SLOTS: usize = 60;

/// Errors of the last hour, counted by the minute (F.6).
pub struct ErrorRate {
    minutes: [u16; SLOTS],
    last: u64,
    threshold: u16,
}

impl ErrorRate {
    pub(crate) const fn new() -> Self {
        Self { minutes: [0; SLOTS], last: 0, threshold: 0 }
    }

    /// Counts an error at `minute`; true if the hour now holds more than the threshold. A threshold of 0 never isolates.
    fn record(&mut self, minute: u64) -> bool {
        for passed in (self.last + 1..=minute).rev().take(SLOTS) {
            self.minutes[passed as usize % SLOTS] = 0;
        }
        self.last = self.last.max(minute);
        let now = &mut self.minutes[minute as usize % SLOTS];
        *now = now.saturating_add(1);
        self.threshold != 0 && self.minutes.iter().map(|errors| u32::from(*errors)).sum::<u32>() > self.threshold.into()
    }
}

/// Byte offset of the MSI capability, by a bounded walk.
fn find_msi(config: &dyn ConfigSpace) -> Option<u16> {
    let mut at = config.read32(pci::CAPABILITIES) as u16 & 0xfc;
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        let header = config.read32(at);
        if header as u8 == pci::CAP_ID_MSI {
            return Some(at);
        }
        at = (header >> 8) as u16 & 0xfc;
    }
    None
}

/// Changes bits of a word of configuration space; true if it reads back so.
fn switch(config: &dyn ConfigSpace, at: u16, bits: u32, on: bool) -> bool {
    // The status half is cleared by writing ones: it is written as 0.
    let keep = if at == pci::COMMAND_STATUS { 0xffff } else { u32::MAX };
    let now = config.read32(at) & keep;
    config.write32(at, if on { now | bits } else { now & !bits });
    let seen = config.read32(at);
    seen != u32::MAX && (seen & bits == bits) == on && (on || seen & bits == 0)
}

/// What the vendor id register is made to read before it reads its own again.
const VENDOR_SCRATCH: u32 = 0x5a5a;
/// Multi-bit error of the reorder buffer.
const ROB_ECC_MBIT: u32 = 1 << 1;
const MSE: u32 = 1 << 1;
const VF_MSE: u32 = 1 << 3;
const MSI_ENABLE: u32 = 1 << 16;
const UNCONFIRMED: QmError = QmError::Unsupported;

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Errors per hour that are tolerated before the device is isolated; 0 tolerates any number.
    pub const fn set_isolate_threshold(&mut self, errors_per_hour: u16) {
        self.errors.threshold = errors_per_hour;
    }
    /// Errors per hour that are tolerated; 0 tolerates any number.
    pub const fn isolate_threshold(&self) -> u16 {
        self.errors.threshold
    }
    /// True if the device was taken out of service: no queue is handed out.
    pub const fn is_isolated(&self) -> bool {
        self.isolated
    }
    /// Takes an isolated device back into service: the operator's decision. Not possible while a failed reset stands.
    ///
    /// # Errors
    /// [`QmError::WrongFunctionState`].
    pub fn release(&mut self) -> Result<(), QmError> {
        if self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        self.isolated = false;
        self.errors.minutes = [0; SLOTS];
        Ok(())
    }

    /// Notes that an error froze the bus where this driver cannot see it: in the engine, or, of a virtual function, anywhere in the device. Nothing
    /// drains until a reset.
    pub const fn note_frozen_bus(&mut self) {
        self.frozen_elsewhere = true;
    }

    /// True while an error stands that froze the bus: nothing will drain.
    fn bus_is_frozen(&self) -> bool {
        self.frozen_elsewhere || self.role == Role::Physical && self.queue_manager_is_frozen()
    }

    fn queue_manager_is_frozen(&self) -> bool {
        pf::ABNORMAL_INT_SOURCE.get(&self.registers) & self.capabilities.ras.shutdown != 0
    }

    /// Ends service of every queue: both stop words; drained where the bus still works. A queue that did not drain stays `Stopping`.
    pub(crate) fn halt_queues(&mut self) {
        let frozen = self.bus_is_frozen();
        for qn in 0..self.queue_count {
            let queue = hal::QueueId(qn);
            if !matches!(self.queue_state(queue), QpState::Started | QpState::Stopping) {
                continue;
            }
            if frozen {
                self.forbid_submissions(queue);
                if let Ok(qp) = self.qp_mut(queue) {
                    qp.state = QpState::Stopping;
                }
                self.end_polling(queue);
            } else {
                // An error is what the reset is for; the queue stays `Stopping`.
                let _ = self.disable_queue(queue);
            }
        }
        function::VF_EQ_INT_MASK.set(&self.registers, 1);
        function::VF_AEQ_INT_MASK.set(&self.registers, 1);
    }

    /// The device has forgotten everything: what it still had to do will never be done. Returns the requests that were cut off: outstanding, and
    /// not completed in memory.
    pub(crate) fn forget_life(&mut self) -> u32 {
        self.mailbox_owes = false;
        let layout = self.layout;
        self.frozen_elsewhere = false;
        let mut cancelled = 0;
        for qp in &mut self.queues {
            cancelled += u32::from(qp.used - qp.unseen(&layout, &self.mapper));
            if matches!(qp.state, QpState::Started | QpState::Stopping) {
                qp.is_released();
            }
        }
        cancelled
    }

    /// Sets RX-stop.
    pub(crate) fn end_polling(&mut self, queue: hal::QueueId) {
        let offset = self.layout.rx_stop_offset();
        if let Ok(crate::queue::Qp { block: Some(block), .. }) = self.qp(queue) {
            block.write32(offset, 1);
            self.mapper.dma_wmb();
        }
    }

    /// Stops every function before a reset; returns the bits of virtual functions that did not confirm.
    fn prepare(&mut self, command: PeerCommand) -> u64 {
        self.close_peer_messages();
        // Told before this function stops, so that they stop beside it; one that does not listen is a log line, not a reason.
        let told = self.vfs == 0 || self.tell_vf(ALL_VFS, PeerMessage::new(command)).is_ok();
        self.halt_queues();
        match (self.vfs, told) {
            (0, _) => 0,
            _ => self.collect_answers(PeerCommand::VF_PREPARE_DONE),
        }
    }

    fn resume_vfs(&mut self) -> u64 {
        if self.vfs == 0 {
            return 0;
        }
        let _ = self.tell_vf(ALL_VFS, PeerMessage::new(PeerCommand::PF_RESET_DONE));
        self.collect_answers(PeerCommand::VF_START_DONE)
    }

    fn quiet_messages(&self, config: &dyn ConfigSpace) -> Result<(), QmError> {
        let at = find_msi(config).ok_or(UNCONFIRMED)?;
        if self.parameters.version == QmVersion::V3 {
            if !switch(config, at, MSI_ENABLE, false) {
                return Err(UNCONFIRMED);
            }
        } else {
            // Doorbells and mailboxes that are still on their way arrive before the value reads back.
            for value in [VENDOR_SCRATCH, pf::PEH_VENDOR_ID.info.reset as u32] {
                self.await_value(pf::PEH_VENDOR_ID, value)?;
            }
            config.write32(at + 0x10, u32::MAX);
            if self.has_memory_error() {
                // The bus is frozen: what is pending stays so.
                return Ok(());
            }
        }
        let is_v3 = self.parameters.version == QmVersion::V3;
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            let pending = pf::PEH_DFX_INFO0.get(&self.registers);
            seen = if is_v3 { pending & 0b101 | pf::PEH_DFX_INFO1.get(&self.registers) & 0xf_0000 } else { pending };
            (seen == 0).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: pf::PEH_DFX_INFO0.offset(), wanted: 0, seen })
    }

    /// Version 2: a multi-bit memory error stands, the one that freezes its bus.
    fn has_memory_error(&self) -> bool {
        self.parameters.version != QmVersion::V3 && pf::ABNORMAL_INT_SOURCE.get(&self.registers) & RAS::ECC_MBIT::SET.value != 0
    }

    /// Writes a register and waits until it reads so.
    fn await_value<R: RegisterLongName>(&self, register: Reg<u32, R>, value: u32) -> Result<(), QmError> {
        register.set(&self.registers, value);
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            seen = register.get(&self.registers);
            (seen == value).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: register.offset(), wanted: value, seen })
    }

    /// Lets messages of the engine's port out, or holds them back while the device comes up after a memory error.
    fn open_message_port(&self, open: bool) {
        let port = am::PORTS::MSI::SET.value;
        let now = am::CFG_PORT_WR_EN.get(&self.registers);
        am::CFG_PORT_WR_EN.set(&self.registers, if open { now | port } else { now & !port });
    }

    fn messages_on(&self, config: &dyn ConfigSpace) -> bool {
        let Some(at) = find_msi(config) else { return false };
        if self.parameters.version == QmVersion::V3 {
            switch(config, at, MSI_ENABLE, true)
        } else {
            config.write32(at + 0x10, 0);
            true
        }
    }

    fn close_bus(&self) -> Result<(), QmError> {
        am::MASTER_GLOBAL_CTRL.set(&self.registers, 1);
        let mut seen = 0;
        poll_until(&self.clock, self.parameters.timeouts.register, || {
            seen = am::TRANS_RETURN.get(&self.registers);
            (seen == 3).then_some(())
        })
        .map_err(|_| QmError::RegisterTimeout { offset: am::TRANS_RETURN.offset(), wanted: 3, seen })
    }

    /// Resets the whole device. Afterwards every queue that was in use is `Init`: its user has both stop words and opens it anew or starts it again.
    ///
    /// # Errors
    /// [`ResetFailure`] names the step. The device is then isolated, memory stays where the device may reach it, and the call can be repeated.
    pub fn controller_reset(&mut self, around: &mut Surroundings<'_>) -> Result<Reset, ResetFailure> {
        if self.role != Role::Physical || self.function_memory.is_none() {
            return Err(ResetFailure { step: ResetStep::QuietMessages, error: QmError::WrongFunctionState(self.state) });
        }
        let minute = self.clock.now_ticks() / self.clock.ticks_per_second().max(1) / 60;
        let too_many = self.errors.record(minute);
        let last_words = self.snapshot();
        // After a reset that failed everybody has been stopped already, as far as that went.
        let again = self.state == QmState::Resetting;
        let mut silent_vfs = if again { self.vf_bits() } else { self.prepare(PeerCommand::PF_SRST_PREPARE) };
        let result = self.reset_steps(around);
        self.isolated = too_many || result.is_err();
        let cancelled = result?;
        silent_vfs |= self.resume_vfs();
        self.open_peer_messages();
        Ok(Reset { cancelled, silent_vfs, last_words })
    }

    fn reset_steps(&mut self, around: &mut Surroundings<'_>) -> Result<u32, ResetFailure> {
        use ResetStep as S;
        let fail = |step| move |error| ResetFailure { step, error };
        let check = |step, done: bool| if done { Ok(()) } else { Err(ResetFailure { step, error: UNCONFIRMED }) };
        let config = around.config;
        let vf_control = find_sriov(config).map(|at| at + sriov::CONTROL).filter(|_| self.vfs != 0);
        // The registers are needed until the bus is closed; after a reset that failed they may be switched off.
        check(S::MemoryOn, self.state != QmState::Resetting || switch(config, pci::COMMAND_STATUS, MSE, true))?;
        let memory_error = self.has_memory_error();
        self.state = QmState::Resetting;
        self.quiet_messages(config).map_err(fail(S::QuietMessages))?;
        if let Some(at) = vf_control {
            check(S::VfMemoryOff, switch(config, at, VF_MSE, false))?;
        }
        self.close_bus().map_err(fail(S::BusShutdown))?;
        check(S::QuiesceEngine, (around.quiesce_engine)())?;
        check(S::MemoryOff, switch(config, pci::COMMAND_STATUS, MSE, false))?;
        around.platform.reset(around.device).map_err(|error| ResetFailure {
            step: S::Platform,
            error: match error {
                ResetError::Failed => QmError::Unsupported,
                ResetError::TimedOut => QmError::DrainTimedOut,
            },
        })?;
        check(S::MemoryOn, switch(config, pci::COMMAND_STATUS, MSE, true) && self.messages_on(config))?;
        if let Some(at) = vf_control {
            check(S::MemoryOn, switch(config, at, VF_MSE, true))?;
        }
        // Only now is it certain that the device has let go of everything.
        let cancelled = self.forget_life();
        self.state = QmState::Down;
        if memory_error {
            self.open_message_port(false);
            pf::ABNORMAL_INT_SOURCE.set(&self.registers, RAS::ECC_MBIT::SET.value);
            am::ROB_ECC_INT_STS.set(&self.registers, ROB_ECC_MBIT);
        }
        let result = self.restart(around);
        if memory_error {
            self.open_message_port(true);
        }
        result?;
        Ok(cancelled)
    }

    fn restart(&mut self, around: &mut Surroundings<'_>) -> Result<(), ResetFailure> {
        use ResetStep as S;
        let fail = |step| move |error| ResetFailure { step, error };
        let result = self.initialise().map_err(fail(S::Initialise)).and_then(|()| {
            if (around.initialise_engine)() { Ok(()) } else { Err(ResetFailure { step: S::InitialiseEngine, error: UNCONFIRMED }) }
        });
        let result = result.and_then(|()| self.start().map_err(fail(S::Start)));
        let result = result.and_then(|()| if self.vfs == 0 { Ok(()) } else { self.give_vf_shares(self.vfs).map_err(fail(S::VfShares)) });
        if result.is_err() {
            self.state = QmState::Resetting;
        }
        result
    }

    /// Stops and starts this function alone: what an event queue that overflowed demands (F.5). Queues that were in use are `Init`, their users have
    /// both stop words; virtual functions go on. Completions that are in memory can still be taken.
    ///
    /// # Errors
    /// [`QmError::Resetting`] while an error has frozen the bus: only a controller reset helps. [`QmError::DrainTimedOut`] if a queue did not drain,
    /// and nothing was started; the call can be repeated. Those of [`start`](Self::start).
    pub fn restart_function(&mut self) -> Result<(), QmError> {
        if self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        if self.bus_is_frozen() {
            return Err(QmError::Resetting);
        }
        self.halt_queues();
        if self.queues.iter().any(|qp| qp.state == QpState::Stopping) {
            return Err(QmError::DrainTimedOut);
        }
        if self.role == Role::Physical {
            self.give_share(0, None)?;
        }
        self.state = QmState::Initialised;
        self.start()
    }

    /// Before a function-level reset by PCI: tells the virtual functions, stops every queue. Returns the bits of those that did not confirm.
    ///
    /// # Errors
    /// [`QmError::WrongFunctionState`].
    pub fn prepare_function_reset(&mut self) -> Result<u64, QmError> {
        if self.state != QmState::Started {
            return Err(QmError::WrongFunctionState(self.state));
        }
        if self.role == Role::Physical {
            pf::ABNORMAL_INT_MASK.set(&self.registers, RAS_ALL);
        }
        let silent = self.prepare(PeerCommand::PF_FLR_PREPARE);
        self.state = QmState::Resetting;
        Ok(silent)
    }

    /// After a function-level reset, when configuration space was restored: starts again. Of a virtual function only the function itself.
    ///
    /// # Errors
    /// [`ResetFailure`]; the function stays down and the call can be repeated.
    pub fn finish_function_reset(&mut self, around: &mut Surroundings<'_>) -> Result<u64, ResetFailure> {
        if self.state != QmState::Resetting || around.config.read32(pci::ID) == u32::MAX && self.role == Role::Physical {
            return Err(ResetFailure { step: ResetStep::MemoryOn, error: QmError::WrongFunctionState(self.state) });
        }
        self.forget_life();
        self.state = QmState::Down;
        self.restart(around)?;
        let silent = self.resume_vfs();
        self.open_peer_messages();
        Ok(silent)
    }

    /// Suspends the device: queues drained, MSI off, bus closed, memory decode off (F.9). Virtual functions must be off.
    ///
    /// # Errors
    /// As a failed reset.
    pub fn suspend(&mut self, around: &mut Surroundings<'_>) -> Result<(), ResetFailure> {
        let fail = |step| move |error| ResetFailure { step, error };
        if self.role != Role::Physical || self.state != QmState::Started || self.vfs != 0 {
            return Err(ResetFailure { step: ResetStep::QuietMessages, error: QmError::WrongFunctionState(self.state) });
        }
        self.halt_queues();
        self.state = QmState::Resetting;
        self.quiet_messages(around.config).map_err(fail(ResetStep::QuietMessages))?;
        self.close_bus().map_err(fail(ResetStep::BusShutdown))?;
        if !switch(around.config, pci::COMMAND_STATUS, MSE, false) {
            return Err(ResetFailure { step: ResetStep::MemoryOff, error: UNCONFIRMED });
        }
        Ok(())
    }

    /// Resumes a suspended device. Queues that were in use are `Init`.
    ///
    /// # Errors
    /// As a failed reset.
    pub fn resume(&mut self, around: &mut Surroundings<'_>) -> Result<(), ResetFailure> {
        if self.state != QmState::Resetting {
            return Err(ResetFailure { step: ResetStep::MemoryOn, error: QmError::WrongFunctionState(self.state) });
        }
        if !(switch(around.config, pci::COMMAND_STATUS, MSE, true) && self.messages_on(around.config)) {
            return Err(ResetFailure { step: ResetStep::MemoryOn, error: UNCONFIRMED });
        }
        am::MASTER_GLOBAL_CTRL.set(&self.registers, 0);
        self.forget_life();
        self.state = QmState::Down;
        self.restart(around)
    }

    /// How long a virtual function waits for the end of a reset before it gives up (B.9).
    pub const VF_PATIENCE: Duration = Duration::from_secs(60);
}
