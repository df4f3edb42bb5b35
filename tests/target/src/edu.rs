//! QEMU's educational device (1234:11e8): copies between its own 4 KiB of memory and an address that it emits.

use core::time::Duration;

use firmware_kernel::{Found, Report};
use hal::{Clock, DmaBuffer, RegisterWindow, StreamId};
use hal_aarch64::timer::VirtualTimer;
use hal_aarch64::{GenericTimer, MmioWindow, barrier, cpu};

const VENDOR: u16 = 0x1234;
const DEVICE: u16 = 0x11e8;
/// Reads 0xRRrr00ed: RR.rr is the device's version.
const IDENTIFICATION: u64 = 0x00;
const SOURCE: u64 = 0x80;
const DESTINATION: u64 = 0x88;
const COUNT: u64 = 0x90;
const COMMAND: u64 = 0x98;
const RUN: u64 = 1;
const TO_RAM: u64 = 2;
/// Where the device's own memory lies, as a DMA address.
const OWN_MEMORY: u64 = 0x4_0000;
/// A transfer takes 100 ms of virtual time; this much means that it never ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// StreamID of the first device behind QEMU's host bridge.
pub const FIRST_STREAM: StreamId = StreamId(8);

/// The device, decoding and mastering.
pub struct Edu {
    registers: MmioWindow,
    /// Its StreamID, as the device tree's `iommu-map` has it.
    pub stream: StreamId,
}

impl Edu {
    /// Brings the device up as the kernel brings any function up.
    pub fn bring_up(report: &Report) -> Self {
        let is_edu = |found: &&Found| (found.function.vendor, found.function.device) == (VENDOR, DEVICE);
        let found = report.functions.iter().find(is_edu).expect("edu is enumerated");
        let bars = firmware_kernel::bring_up_function(found).expect("room for BAR0");
        let registers = firmware_kernel::map_bar(&bars[0], u64::MAX).expect("BAR0 is mappable");
        assert_eq!(registers.read32(IDENTIFICATION) & 0xff, 0xed);
        // Where the SMMU was hidden from the kernel, nothing tells.
        let stream = match report.machine.smmus.is_empty() {
            true => FIRST_STREAM,
            false => firmware_kernel::stream_of(&report.machine, found).expect("it is behind the SMMU"),
        };
        Self { registers, stream }
    }

    fn start(&self, source: u64, destination: u64, bytes: u64, command: u64) {
        barrier::dsb_sy();
        self.registers.write64(SOURCE, source);
        self.registers.write64(DESTINATION, destination);
        self.registers.write64(COUNT, bytes);
        self.registers.write64(COMMAND, command | RUN);
    }

    fn is_done(&self) -> bool {
        self.registers.read64(COMMAND) & RUN == 0
    }

    /// Starts a read of memory into the device.
    pub fn start_load(&self, from: u64, bytes: u64) {
        self.start(from, OWN_MEMORY, bytes, 0);
    }

    /// Starts a write of the device's memory to memory.
    pub fn start_store(&self, to: u64, bytes: u64) {
        self.start(OWN_MEMORY, to, bytes, TO_RAM);
    }

    /// Waits for the end of a transfer, asleep between timer interrupts; interrupts are taken, so the kernel's handlers run.
    pub fn sleep_until_done(&self) {
        let end = GenericTimer.deadline(PATIENCE);
        while !self.is_done() {
            assert!(!end.has_passed(&GenericTimer), "edu never ended a transfer");
            VirtualTimer.arm(GenericTimer.now_ticks() + GenericTimer.ticks_per_second() / 200);
            cpu::wfi();
            cpu::unmask_interrupts();
            barrier::isb();
            cpu::mask_interrupts();
        }
        barrier::dsb_sy();
    }

    /// Waits for the end of a transfer with interrupts masked: the kernel does not see what the SMMU reports.
    pub fn poll_until_done(&self) {
        let end = GenericTimer.deadline(PATIENCE);
        while !self.is_done() {
            assert!(!end.has_passed(&GenericTimer), "edu never ended a transfer");
            GenericTimer.relax();
        }
        barrier::dsb_sy();
    }
}

/// Fills a buffer with a pattern that no other seed gives.
pub fn fill(buffer: &impl DmaBuffer, seed: u64) {
    for at in (0..buffer.len_bytes()).step_by(8) {
        buffer.write64(at, (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32));
    }
}

/// True if a buffer holds the pattern of a seed in its first `bytes`.
pub fn holds(buffer: &impl DmaBuffer, seed: u64, bytes: usize) -> bool {
    (0..bytes).step_by(8).all(|at| buffer.read64(at) == (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.rotate_left(32))
}
