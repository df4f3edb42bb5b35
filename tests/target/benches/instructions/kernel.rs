//! The bench's half at EL1: runs the processes, reads their samples, and measures what has no process.

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;

use firmware_kerncore::vma::Rights;
use firmware_kernel::{Buffer, CompressDirection, Compressor, PhysicalMemory};
use firmware_platform::ACCELERATOR_RID;
use firmware_platform::trace::Counter;
use firmware_platform::vendor;
use hal::{DmaBuffer, DmaMapper, Pa, StreamId};
use hal_aarch64::pmu::{self, Instructions};
use zip_spec::Container;

use smmu_driver::SmmuError;

use crate::process::{self, SAMPLES, SAMPLES_BYTES, Series};
use crate::row::Row;

const PAGE: u64 = 4096;
/// Samples of what EL1 measures by itself.
const SAMPLES_AT_EL1: usize = 64;

/// Whether the TLB has a translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tlb {
    /// It has.
    Hit,
    /// It has not; the configuration is cached.
    Miss,
}

/// Whose traffic is translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The device's own: no SubstreamID.
    Kernel,
    /// A process's: one of its own.
    Process,
}

/// A kernel with an accelerator, and memory for samples.
pub struct Bench {
    samples: Buffer,
    sampling: Instructions,
}

/// Asks the silicon.
fn hypercall(arguments: [u64; 5]) -> (u64, u64) {
    hypercall_with(arguments, 0)
}

/// The same with x5.
fn hypercall_with(arguments: [u64; 5], x5: u64) -> (u64, u64) {
    let [x0, x1, x2, x3, x4] = arguments;
    let (status, result);
    // SAFETY: the calls of `firmware_platform::vendor` change no memory of EL1 and no register but x0 and x1.
    unsafe {
        asm!("hvc #0", inlateout("x0") x0 => status, inlateout("x1") x1 => result, in("x2") x2, in("x3") x3, in("x4") x4, in("x5") x5, options(nostack));
    }
    (status, result)
}

fn ask(function: u64, x1: u64) -> u64 {
    let (status, result) = hypercall([function, x1, 0, 0, 0]);
    assert_eq!(status, 0, "call {function:#x} was refused");
    result
}

/// Switches the engine: off, requests stay in their queues.
fn set_engine(is_on: bool) {
    ask(vendor::SET_ENGINE, u64::from(is_on));
}

/// Trapped accesses of emulated registers since reset.
pub fn traps() -> u64 {
    let counters = [Counter::SmmuAccesses, Counter::ConfigAccesses, Counter::BarAccesses, Counter::OtherAccesses];
    counters.into_iter().map(|counter| ask(vendor::COUNTER, counter as u64)).sum()
}

/// The median of each level, by itself.
pub fn median(samples: &[Instructions]) -> Instructions {
    let middle = |level: fn(&Instructions) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(level).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Instructions { el0: middle(|s| s.el0), el1: middle(|s| s.el1), el2: middle(|s| s.el2) }
}

/// Samples an operation of EL1, in EL1 and EL2 instructions, the cost of sampling taken off.
pub fn sample(mut operation: impl FnMut(usize)) -> Instructions {
    let take = |run: &mut dyn FnMut(usize)| {
        let samples: Vec<Instructions> = (0..SAMPLES_AT_EL1)
            .map(|index| {
                let before = pmu::instructions();
                run(index);
                pmu::instructions().since(before)
            })
            .collect();
        median(&samples)
    };
    let nothing = take(&mut |_| {});
    take(&mut operation).since(nothing)
}

impl Bench {
    /// Boots the kernel; the timer stays silent.
    pub fn start() -> Self {
        let report = firmware_kernel::init(&target_tests::firmware::boot(target_tests::device_tree())).expect("the kernel boots");
        assert!(report.accelerators.iter().any(Result::is_ok), "no accelerator: {:?}", report.accelerators);
        assert!(pmu::counters() >= 3, "three counters are needed");
        firmware_kernel::set_tick(false);
        pmu::start();
        let samples = PhysicalMemory.alloc(SAMPLES_BYTES as usize, 4096).expect("memory for samples");
        let mut bench = Self { samples, sampling: Instructions::default() };
        let (nothing, _) = bench.run(Series::Nothing, 64);
        bench.sampling = nothing;
        bench
    }

    /// Runs a series in a process of its own; the median of its samples, and the traps until its end, or until it sleeps if it does.
    fn run(&self, series: Series, count: usize) -> (Instructions, u64) {
        let pa = self.samples.physical_address().expect("one run");
        let before = traps();
        let process = firmware_kernel::spawn("bench", process::main, process::order(series, count), "").expect("a process");
        let space = firmware_kernel::space_of(process).expect("it lives");
        firmware_kernel::lend(space, SAMPLES, pa, SAMPLES_BYTES, Rights::ReadWrite).expect("lent");
        let mut traps_asleep = None;
        if series.sleeps() {
            // Until the process sleeps and another one has run, the engine takes no request; then it must, or no queue could be stopped.
            set_engine(false);
            let other = firmware_kernel::spawn("other", process::main, process::order(Series::Nothing, 0), "").expect("a process");
            firmware_kernel::run_until_exit(other).expect("it ends");
            traps_asleep = Some(traps() - before);
            set_engine(true);
        }
        let exit = firmware_kernel::run_until_exit(process).expect("it ends");
        assert_eq!(exit.status(), 0, "{series:?}: {exit:?}");
        let word = |index: usize| self.samples.read64(8 * index);
        let sample = |index: usize| Instructions { el0: word(3 * index), el1: word(3 * index + 1), el2: word(3 * index + 2) };
        let samples: Vec<Instructions> = (0..series.samples(count)).map(sample).collect();
        (median(&samples), traps_asleep.unwrap_or_else(|| traps() - before))
    }

    /// Measures a series: the median of `count` operations less the cost of sampling; traps from the difference to twice as many operations.
    pub fn process(&self, series: Series, count: usize) -> Row {
        let (spent, traps) = self.run(series, count);
        let (_, traps_of_twice) = self.run(series, 2 * count);
        let mut spent = spent.since(self.sampling);
        if series.is_one_sample() {
            let mean = |all: u64| all.div_ceil(count as u64);
            spent = Instructions { el0: mean(spent.el0), el1: mean(spent.el1), el2: mean(spent.el2) };
        }
        let traps_hundredths = 100 * (traps_of_twice - traps) / count as u64;
        Row { el0: Some(spent.el0), el1: spent.el1, el2: spent.el2, traps_hundredths }
    }

    /// Traps of everything from a process's first open to its started queue, in hundredths.
    pub fn traps_of_first_open(&self) -> u64 {
        100 * self.run(Series::KeepOpen, 1).1
    }

    /// Measures a translation of the accelerator's own traffic by the kernel's domain, as a device's access would be.
    pub fn translation(&self, tlb: Tlb) -> Row {
        let pa = self.samples.physical_address().expect("one run");
        let stream = u64::from(ACCELERATOR_RID);
        let mut iova = firmware_kernel::map_iova(pa, PAGE, PAGE).expect("an IOVA");
        let translate = |at: u64| hypercall([vendor::TRANSLATE, stream, vendor::NO_SUBSTREAM, at, 0]);
        assert_eq!(translate(iova.0), (0, pa.0));
        // What every call costs: one that the silicon does not know.
        let call = sample(|_| assert_eq!(hypercall([0xc600_ffff, 0, 0, 0, 0]).0, vendor::NOT_SUPPORTED));
        let mut samples = Vec::new();
        for _ in 0..SAMPLES_AT_EL1 {
            if tlb == Tlb::Miss {
                firmware_kernel::unmap_iova(iova, PAGE).expect("unmapped");
                iova = firmware_kernel::map_iova(pa, PAGE, PAGE).expect("an IOVA");
            }
            let before = pmu::instructions();
            let answer = translate(iova.0);
            samples.push(pmu::instructions().since(before));
            assert_eq!(answer, (0, pa.0));
        }
        firmware_kernel::unmap_iova(iova, PAGE).expect("unmapped");
        Row { el0: None, el1: 0, el2: median(&samples).el2 - call.el2, traps_hundredths: 0 }
    }

    /// Measures a translation with nothing cached, as the engine's accesses do it: STE, CD and descriptors are fetched and looked at.
    pub fn walk(&self, who: Who) -> Row {
        ask(vendor::SET_TLB_POLICY, 0);
        let row = self.hit(who);
        ask(vendor::SET_TLB_POLICY, 1);
        row
    }

    /// Measures a translation that the TLB has, as the engine's accesses do it, the lock being held: no call, no lock.
    /// `Who::Process` has a SubstreamID.
    pub fn hit(&self, who: Who) -> Row {
        const TIMES: u64 = 256;
        let pa = self.samples.physical_address().expect("one run");
        let iova = firmware_kernel::map_iova(pa, PAGE, PAGE).expect("an IOVA");
        let substream = match who {
            Who::Kernel => vendor::NO_SUBSTREAM,
            Who::Process => {
                let table = firmware_kernel::domain_table().expect("a domain");
                let bound = firmware_kernel::with_smmu(|smmu| {
                    let substream = smmu.allocate_substream()?;
                    smmu.bind(StreamId(ACCELERATOR_RID), substream, &table)?;
                    Ok::<_, SmmuError>(substream)
                });
                bound.expect("an SMMU").expect("bound").0.into()
            }
        };
        let arguments = [vendor::TRANSLATE_AGAIN, ACCELERATOR_RID.into(), substream, iova.0, 0];
        let translate = |times: u64| assert_eq!(hypercall_with(arguments, times), (0, pa.0));
        translate(2);
        let (once, often) = (sample(|_| translate(1)), sample(|_| translate(1 + TIMES)));
        firmware_kernel::unmap_iova(iova, PAGE).expect("unmapped");
        Row { el0: None, el1: 0, el2: (often.el2 - once.el2).div_ceil(TIMES), traps_hundredths: 0 }
    }

    /// Measures the kernel's DMA mapping of a page, from the map to the end of the invalidation.
    pub fn map_unmap(&self) -> Row {
        let pa: Pa = self.samples.physical_address().expect("one run");
        let round = || {
            let iova = firmware_kernel::map_iova(pa, PAGE, PAGE).expect("an IOVA");
            firmware_kernel::unmap_iova(iova, PAGE).expect("unmapped");
        };
        let before = traps();
        round();
        let traps = traps() - before;
        let spent = sample(|_| round());
        Row { el0: None, el1: spent.el1, el2: spent.el2, traps_hundredths: 100 * traps }
    }

    /// Measures the SMMU's half of a process's first queue and of its last: the context of a SubstreamID made, and taken away for good.
    pub fn bind_and_unbind(&self) -> [Row; 2] {
        const STREAM: StreamId = StreamId(ACCELERATOR_RID);
        let table = firmware_kernel::domain_table().expect("a domain");
        let mut rows = [Vec::new(), Vec::new()];
        let mut trapped = [0; 2];
        for _ in 0..SAMPLES_AT_EL1 {
            let substream = firmware_kernel::with_smmu(|smmu| smmu.allocate_substream()).expect("an SMMU").expect("a SubstreamID");
            for half in 0..2 {
                let traps_before = traps();
                let before = pmu::instructions();
                let done = firmware_kernel::with_smmu(|smmu| match half {
                    0 => smmu.bind(STREAM, substream, &table),
                    _ => smmu.unbind(STREAM, substream),
                });
                rows[half].push(pmu::instructions().since(before));
                trapped[half] = traps() - traps_before;
                assert_eq!(done, Some(Ok(())));
            }
            firmware_kernel::with_smmu(|smmu| smmu.free_substream(substream)).expect("an SMMU").expect("bound to nothing");
        }
        let nothing = sample(|_| {});
        [0, 1].map(|half| {
            let spent = median(&rows[half]).since(nothing);
            Row { el0: None, el1: spent.el1, el2: spent.el2, traps_hundredths: 100 * trapped[half] }
        })
    }

    /// Measures a compression of the kernel's own, from the call to the copied result.
    pub fn kernel_compresses(&self, len_bytes: usize) -> Row {
        let mut compressor = Compressor::new(0, Container::Raw, CompressDirection::Compress).expect("a queue");
        let (input, mut output) = (vec![0x55; len_bytes], vec![0; 2 * len_bytes + 64]);
        let mut run = || assert!(compressor.run(&input, &mut output).is_ok());
        run();
        let before = traps();
        run();
        let traps = traps() - before;
        let spent = sample(|_| run());
        compressor.close();
        Row { el0: None, el1: spent.el1, el2: spent.el2, traps_hundredths: 100 * traps }
    }
}
