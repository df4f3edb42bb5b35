//! The end of commands, in each way in which an SMMU can tell it: the driver takes it from there, and gives up in time where it does not come.
//!
//! Our silicon and QEMU's SMMU execute commands while the doorbell is written, so that whoever looks at CMDQ_CONS never waits. Here it is hidden
//! until the signal under test has come: without that the driver can know nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
mod steps {
    use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
    use core::time::Duration;

    use firmware_kernel::{PhysicalMemory, Report, map_device, with_smmu};
    use firmware_platform::trace::Counter;
    use hal::{AccessKind, Clock, DmaBuffer, Iova, RegisterWindow, StreamId, Va};
    use hal_aarch64::gic::{self, Distributor, IntId, Trigger};
    use hal_aarch64::timer::{VIRTUAL_TIMER_INTID, VirtualTimer};
    use hal_aarch64::{GenericTimer, MmioWindow, cpu, sysreg};
    use smmu_driver::{Completion, Config, FaultModel, Leaf, Refusal, Smmu, SmmuError};
    use smmu_spec::regs::{SMMU_CMDQ_CONS, SMMU_CMDQ_PROD};
    use target_tests::rig::{self, HandTable, IOVA, READ_WRITE};
    use target_tests::vendor::{self, Answer};

    /// A stream of no device.
    const STREAM: StreamId = StreamId(0x10);
    const ROUNDS: u64 = 20;
    /// How long the driver waits; no signal takes as long.
    const PATIENCE: Duration = Duration::from_millis(500);
    /// How long a core sleeps at most.
    const NAP: Duration = Duration::from_millis(100);

    /// What shows CMDQ_CONS.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Signal {
        /// The interrupt of CMD_SYNC, with this number.
        Interrupt(IntId),
        /// The event to waiting cores.
        Event,
        /// Nothing: what comes must be enough without the register.
        None,
    }

    /// Signals that came.
    static SIGNALS: AtomicU64 = AtomicU64::new(0);
    /// Events that had been sent before the last doorbell.
    static EVENTS: AtomicU64 = AtomicU64::new(0);
    /// The register is shown as it was before the last doorbell.
    static IS_HIDDEN: AtomicBool = AtomicBool::new(false);
    static SHOWN: AtomicU32 = AtomicU32::new(0);

    /// The registers, CMDQ_CONS as far as it is shown.
    struct Shy(MmioWindow, Signal);

    impl RegisterWindow for Shy {
        fn read32(&self, offset: u64) -> u32 {
            if offset != SMMU_CMDQ_CONS.offset() {
                return self.0.read32(offset);
            }
            if !IS_HIDDEN.load(Relaxed) {
                SHOWN.store(self.0.read32(offset), Relaxed);
            }
            SHOWN.load(Relaxed)
        }
        fn write32(&self, offset: u64, value: u32) {
            if offset == SMMU_CMDQ_PROD.offset() {
                IS_HIDDEN.store(true, Relaxed);
                if self.1 == Signal::Event {
                    EVENTS.store(vendor::counter(Counter::WakeEvents), Relaxed);
                }
            } else if offset == SMMU_CMDQ_CONS.offset() {
                SHOWN.store(value, Relaxed);
            }
            self.0.write32(offset, value);
        }
        fn read64(&self, offset: u64) -> u64 {
            self.0.read64(offset)
        }
        fn write64(&self, offset: u64, value: u64) {
            self.0.write64(offset, value);
        }
        fn write128(&self, offset: u64, low: u64, high: u64) {
            self.0.write128(offset, low, high);
        }
    }

    /// Time, of a core that sleeps until it is told.
    struct Sleeper(Signal);

    impl Clock for Sleeper {
        fn now_ticks(&self) -> u64 {
            GenericTimer.now_ticks()
        }
        fn ticks_per_second(&self) -> u64 {
            GenericTimer.ticks_per_second()
        }
        fn relax(&self) {
            let has_come = match self.0 {
                Signal::Interrupt(wanted) => {
                    VirtualTimer.arm(self.now_ticks() + self.ticks_per_second() * NAP.as_millis() as u64 / 1000);
                    cpu::wfi();
                    let woken_by = gic::acknowledge();
                    woken_by.into_iter().for_each(gic::end_of_interrupt);
                    VirtualTimer.disarm();
                    assert!(woken_by.is_none_or(|by| by == wanted || by == IntId(VIRTUAL_TIMER_INTID)), "{woken_by:?}");
                    woken_by == Some(wanted)
                }
                Signal::Event => {
                    // QEMU 7.2 takes the instruction as a hint and sleeps not at all; the silicon counts what it sends.
                    cpu::wfe();
                    vendor::counter(Counter::WakeEvents) > EVENTS.load(Relaxed)
                }
                Signal::None => {
                    cpu::relax();
                    false
                }
            };
            if has_come {
                SIGNALS.fetch_add(1, Relaxed);
                IS_HIDDEN.store(false, Relaxed);
            }
        }
    }

    type Driver = Smmu<Shy, Sleeper, PhysicalMemory>;

    /// Takes the SMMU over from the kernel.
    fn take_over(report: &Report, completion: Completion, signal: Signal) -> Result<Driver, SmmuError> {
        if let Signal::Interrupt(intid) = signal {
            let gic = report.machine.gic.expect("a GIC");
            let distributor = Distributor::new(map_device(gic.distributor).expect("within reach"));
            distributor.configure(intid, Trigger::Edge, 0x80, sysreg::affinity());
            // What the kernel's driver has caused.
            distributor.clear_pending(intid);
            distributor.enable_spi(intid);
        }
        let registers = map_device(report.machine.smmus[0].registers).expect("within reach");
        SIGNALS.store(0, Relaxed);
        IS_HIDDEN.store(false, Relaxed);
        Smmu::init(Shy(registers, signal), Sleeper(signal), PhysicalMemory, Config { completion, patience: PATIENCE, ..Config::default() })
    }

    /// The interrupt of CMD_SYNC, as the device tree has it.
    fn sync_interrupt(report: &Report) -> Signal {
        let interrupt = report.machine.smmus[0].cmdq_sync.expect("the tree names it");
        assert!(interrupt.edge);
        Signal::Interrupt(IntId(interrupt.intid))
    }

    /// Commands, each waited for by itself, none for long.
    fn invalidate(driver: &mut Driver) {
        for round in 0..ROUNDS {
            let before = GenericTimer.now_ticks();
            driver.invalidate_asid(1).expect("done");
            let ticks = GenericTimer.now_ticks() - before;
            assert!(ticks < GenericTimer.ticks_per_second() * NAP.as_millis() as u64 / 1000, "round {round}: {ticks} ticks");
        }
    }

    /// A mapping is changed and invalidated: what the signal tells is true.
    fn remap(driver: &mut Driver) {
        let (table, old, new) = (HandTable::new(), rig::page(), rig::page());
        let asid = driver.allocate_asid().expect("an ASID");
        let description = table.describe(driver.features(), asid);
        driver.attach(STREAM, &description, FaultModel::Terminate).expect("attached");
        let ask = || vendor::translate(STREAM, None, Iova(IOVA), AccessKind::Read);
        table.set_page(0, Some((&old, READ_WRITE)));
        assert_eq!(Some(ask()), old.physical_address().map(Answer::At));
        table.set_page(0, Some((&new, READ_WRITE)));
        assert_eq!(Some(ask()), old.physical_address().map(Answer::At), "no TLB: the control controls nothing");
        driver.invalidate_range(asid, Va(IOVA), 4096, Leaf::Only).expect("done");
        assert_eq!(Some(ask()), new.physical_address().map(Answer::At));
    }

    /// Without the signal the driver gives up, no earlier and not much later than it was told to.
    fn assert_given_up(report: &Report, completion: Completion, signal: Signal) {
        let before = GenericTimer.now_ticks();
        let error = take_over(report, completion, signal).err();
        let waited = (GenericTimer.now_ticks() - before) * 1000 / GenericTimer.ticks_per_second();
        assert!(matches!(error, Some(SmmuError::Timeout(late)) if late.register == SMMU_CMDQ_CONS.info.name), "{error:?}");
        let patience = PATIENCE.as_millis() as u64;
        assert!((patience..10 * patience).contains(&waited), "{waited} ms");
    }

    fn by_interrupt(report: &Report) -> Driver {
        let mut driver = take_over(report, Completion::Interrupt, sync_interrupt(report)).expect("taken over");
        let before = SIGNALS.load(Relaxed);
        invalidate(&mut driver);
        assert_eq!(SIGNALS.load(Relaxed) - before, ROUNDS);
        driver
    }

    pub fn interrupt(report: &Report) {
        remap(&mut by_interrupt(report));
        assert_given_up(report, Completion::Poll, sync_interrupt(report));
    }

    /// On an SMMU that is not ours: nobody answers a test's questions.
    pub fn interrupt_on_bare(report: &Report) {
        drop(by_interrupt(report));
        assert_given_up(report, Completion::Poll, sync_interrupt(report));
    }

    pub fn event(report: &Report) {
        let mut driver = take_over(report, Completion::Event, Signal::Event).expect("taken over");
        let sent = || vendor::counter(Counter::WakeEvents);
        let (signals, before) = (SIGNALS.load(Relaxed), sent());
        invalidate(&mut driver);
        assert_eq!((SIGNALS.load(Relaxed) - signals, sent() - before), (ROUNDS, ROUNDS));
        remap(&mut driver);
        drop(driver);
        let before = sent();
        assert_given_up(report, Completion::Poll, Signal::Event);
        assert_eq!(sent(), before, "an event that nobody asked for");
    }

    /// Messages are what the kernel itself waits for: an invalidation is one register access, the doorbell.
    pub fn message(report: &Report) {
        assert!(with_smmu(|smmu| smmu.features().has_msi).expect("an SMMU"));
        let accesses = |invalidate: &mut dyn FnMut()| {
            let before = vendor::counter(Counter::SmmuAccesses);
            (0..ROUNDS).for_each(|_| invalidate());
            vendor::counter(Counter::SmmuAccesses) - before
        };
        let kernels = accesses(&mut || with_smmu(|smmu| smmu.invalidate_asid(1)).expect("an SMMU").expect("done"));
        assert_eq!(kernels, ROUNDS);
        let mut driver = take_over(report, Completion::Message, Signal::None).expect("taken over");
        assert_eq!(accesses(&mut || driver.invalidate_asid(1).expect("done")), ROUNDS);
        remap(&mut driver);
        drop(driver);
        assert_given_up(report, Completion::Poll, Signal::None);
    }

    /// What an SMMU without messages and events says, and what is made of the wish for the best that there is.
    pub fn refusals(report: &Report) {
        for (completion, refusal) in [(Completion::Message, Refusal::NoMessages), (Completion::Event, Refusal::NoWakeEvent)] {
            assert_eq!(take_over(report, completion, Signal::None).err(), Some(SmmuError::Refused(refusal)));
        }
    }
}

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod plain {
    use super::steps;
    use target_tests::start_kernel;

    #[test]
    fn sm_i08_the_interrupt_of_cmd_sync_ends_the_wait() {
        steps::interrupt(&start_kernel());
    }

    #[test]
    fn sm_i08_the_event_of_cmd_sync_ends_the_wait() {
        steps::event(&start_kernel());
    }

    #[test]
    fn sm_i08_the_message_of_cmd_sync_ends_the_wait_and_spares_the_register() {
        steps::message(&start_kernel());
    }
}

/// QEMU's own SMMU has the interrupt only.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 60)]
mod on_bare {
    use super::steps;
    use target_tests::rig::boot;

    #[test]
    fn sm_i08_the_interrupt_of_cmd_sync_ends_the_wait() {
        let report = boot();
        steps::interrupt_on_bare(&report);
        steps::refusals(&report);
    }
}
