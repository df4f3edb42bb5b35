//! What the data path and the control path cost, in guest instructions: `cargo bench`.
//!
//! One boot on one core, the model inline in the trap, under QEMU's `-icount`: every instruction is one count, so two runs print the same
//! table. The counters are filtered by exception level: EL0 is the program and its library, EL1 the kernel, EL2 our models, which on silicon
//! are gates. An instruction count is not a time: a barrier counts as one, and so does an access that misses every cache.
//!
//! Figures of others are constants, measured once under the same counting on Linux; each names its source. Where this house has set itself
//! a floor, missing it fails the bench.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
mod driver;
#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod kernel;
#[cfg(target_os = "none")]
mod process;
#[cfg(target_os = "none")]
mod row;

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_1p0_icount {
    use super::driver::Driver;
    use super::image;
    use super::kernel::{self, Bench};
    use super::process::{DEEP_BATCH, Series};
    use super::row::{self, Row};

    /// Most instructions of EL2 from a doorbell store to the return.
    const DOORBELL_MAX: u64 = 200;
    /// Most instructions of EL0 for one request sent and received.
    const SEND_RECEIVE_MAX: u64 = 150;
    /// Most instructions of a translation that the TLB has.
    const HIT_MAX: u64 = 60;
    /// Most instructions of EL1 for a page that a device misses: interrupt, record, page, CMD_RESUME.
    pub const FAULT_MAX: u64 = 4_000;
    /// Most instructions of EL1 to map a page for devices, take it back and invalidate it: what it took when this was written, and a tenth.
    const MAP_UNMAP_MAX: u64 = 1_800;
    /// Accesses of SMMU registers that this takes: CMDQ_PROD. Completion comes as a message.
    const MAP_UNMAP_TRAPS: u64 = 1;
    /// Most instructions of EL1 from the open to the started queue, and again for its close.
    const OPEN_CLOSE_MAX: u64 = 12_000;
    /// Most instructions of EL0 per request in batches of 64.
    const BATCH_MAX: u64 = 80;
    /// Most instructions of EL1 that a queue adds to a fork.
    const FORK_MAX: u64 = 2_000;
    /// Most instructions of EL1 for a short compression of the kernel's own.
    const KERNEL_COMPRESS_MAX: u64 = 3_000;
    /// Traps of one request sent and received: its two doorbells.
    const SEND_RECEIVE_TRAPS: u64 = 2;

    /// 1 if a figure is above what it may be at most, with a line that says so.
    fn missed_by(what: &str, is: u64, most: u64) -> u32 {
        if is > most {
            firmware_kernel::print_line(format_args!("floor missed: {what}: {is}, at most {most}"));
        }
        u32::from(is > most)
    }

    #[test]
    fn instructions_per_operation() {
        let bench = Bench::start();
        row::head();

        // The engine off: the doorbell's tail is taken, no request runs.
        let doorbell = bench.process(Series::SendOnly, 64);
        row::print("doorbell store, trap to return", &Row { el0: None, ..doorbell }, "");

        // The processes of these two do both; the traps of a send are known from above.
        let traps_hundredths = doorbell.traps_hundredths;
        let send = Row { traps_hundredths, ..bench.process(Series::Send, 500) };
        row::print("send, 64 bytes compressed in the trap", &send, "");
        let receive = bench.process(Series::Receive, 500);
        let receive = Row { traps_hundredths: receive.traps_hundredths - traps_hundredths, ..receive };
        row::print("receive, completion there", &receive, "");
        let slept = bench.process(Series::ReceiveByInterrupt, 200);
        let slept = Row { traps_hundredths: slept.traps_hundredths - traps_hundredths, ..slept };
        row::print("wd_recv_sync: interrupt and poll()", &slept, "");
        row::print("send + receive, 16 in flight, each", &bench.process(Series::Batch, 60).each_of(16), "");
        let empty = bench.process(Series::ReceiveNothing, 500);
        row::print("receive, nothing there", &empty, "");
        let both = bench.process(Series::SendReceive, 1000);
        row::print("send + receive, mean of a loop", &both, "201 EL0, 2 traps: minimal C client, uacce, Linux 6.1");
        row::note("1,177 EL0, 2 traps: UADK wd_do_comp_sync");

        let batches = bench.process(Series::Batches, 16 * DEEP_BATCH);
        row::print("the same in batches of 64, per request", &batches, "83 EL0, 0.03 traps: minimal C client, Linux 6.1");

        row::print("asynchronous submit + poll, one job", &bench.process(Series::Asynchronous, 512), "");
        row::print("the same 16 in flight, per job", &bench.process(Series::AsynchronousBatches, 1024), "");

        let warm = bench.process(Series::Warm, 64);
        let write = bench.process(Series::FirstWrite, 64).beyond(&warm);
        row::print("device's first write to a page", &write, "8,851 EL1, 4 traps: SVA and iopf, Linux 6.1");
        let read = bench.process(Series::FirstRead, 64).beyond(&warm);
        row::print("device's first read of a page", &read, "8,017 EL1, 4 traps: the same");
        let touch = bench.process(Series::CpuFirstWrite, 64);
        row::print("CPU's first write to a page", &touch, "1 EL0, 1,638 EL1: Linux 6.1");
        row::print("4 KiB request, user's own memory", &bench.process(Series::Page, 64), "");

        // The first queue of a process: its address space is bound with it, and unbound with the last.
        let open = bench.process(Series::Open, 16);
        let of_both = open.traps_hundredths;
        let open = Row { traps_hundredths: bench.traps_of_first_open(), ..open };
        row::print("open + map + start, first queue", &open, "195 EL0, 41,303 EL1, 16 traps: uacce, Linux 6.1");
        let parts = [
            ("  of it: open", Series::OpenNode, "13,505 EL1"),
            ("  of it: direction and depths, 2 calls", Series::SetContext, "446 + 441 EL1"),
            ("  of it: map the rings", Series::MapDus, "15,418 EL1"),
            ("  of it: map the doorbell page", Series::MapMmio, "4,844 EL1"),
            ("  of it: start", Series::StartQ, "6,451 EL1"),
        ];
        for (name, part, peer) in parts {
            row::print(name, &Row { traps_hundredths: 0, ..bench.process(part, 16) }, peer);
        }
        let close = Row { traps_hundredths: of_both - open.traps_hundredths, ..bench.process(Series::Close, 16) };
        row::print("close, last queue", &close, "64 EL0, 42,664 EL1, 18 traps: uacce, Linux 6.1");
        let next = bench.process(Series::KeepOpen, 16);
        row::print("open + map + start, further queue", &next, "195 EL0, 34,653 EL1, 12 traps: the same");

        let [start, stop, put] = Driver::life();
        row::print("QM driver: start a queue", &start, "");
        row::print("QM driver: stop an idle queue", &stop, "");
        row::print("QM driver: put it, rings wiped", &put, "");
        let [bind, unbind] = bench.bind_and_unbind();
        row::print("SMMU driver: bind a process", &bind, "9,019 EL1, 4 traps: SVA bind, first of the mm, Linux 6.1");
        row::print("SMMU driver: unbind it", &unbind, "2,636 EL1, 4 traps: the same, last of the mm");

        let driver = Driver::new();
        row::print("QM driver: submit, run in the trap", &driver.submit(), "");
        row::print("QM driver: completion by polling", &driver.poll(), "");
        row::print("QM driver: completion by interrupt", &driver.interrupt(), "");
        row::print("QM driver: batch of 16, each", &driver.batch(), "");
        let fork = bench.process(Series::Fork, 16);
        row::print("fork, no queue", &fork, "59,117 EL1: Linux 6.1");
        let fork_with = bench.process(Series::ForkWithQueue, 16);
        row::print("fork, one queue started", &fork_with, "103,430 EL1, 16 traps: Linux 6.1");
        let kernel_side = bench.kernel_compresses(64);
        row::print("kernel-side compress, 64 bytes", &kernel_side, "11,395 EL1, 9 traps: hisi-deflate-acomp, Linux 6.1");
        row::print("kernel-side compress, 4 KiB", &bench.kernel_compresses(4096), "11,421 EL1");

        let hit = bench.hit(kernel::Who::Kernel);
        row::print("SMMU translation, TLB hit", &hit, "976 x86: crate smmu 1.8.0");
        let hit_of_process = bench.hit(kernel::Who::Process);
        row::print("the same with a SubstreamID", &hit_of_process, "");
        row::print("a hit as a call, with its lock", &bench.translation(kernel::Tlb::Hit), "");
        row::print("SMMU translation, TLB miss, 3 levels", &bench.translation(kernel::Tlb::Miss), "2,649 x86: crate smmu 1.8.0");
        row::print("the same with nothing cached", &bench.walk(kernel::Who::Process), "1,462 x86: openvmm, 4 levels, no TLB");
        let map_unmap = bench.map_unmap();
        row::print("map + unmap + invalidate a page", &map_unmap, "");

        image::print();

        let mut missed = 0;
        let mut floor = |what, is, most| missed += missed_by(what, is, most);
        floor("doorbell trap at EL2", doorbell.el2, DOORBELL_MAX);
        floor("the completion's doorbell trap at EL2", receive.el2, DOORBELL_MAX);
        floor("send + receive at EL0", both.el0.unwrap_or(u64::MAX), SEND_RECEIVE_MAX);
        floor("send + receive, traps in hundredths", both.traps_hundredths, 100 * SEND_RECEIVE_TRAPS);
        floor("send + receive at EL1", both.el1, 0);
        floor("translation hit", hit.el2, HIT_MAX);
        floor("translation hit with a SubstreamID", hit_of_process.el2, HIT_MAX);
        floor("from the stalled write to its RESUME at EL1", write.el1, FAULT_MAX);
        floor("from the stalled read to its RESUME at EL1", read.el1, FAULT_MAX);
        floor("map + unmap + invalidate at EL1", map_unmap.el1, MAP_UNMAP_MAX);
        floor("map + unmap + invalidate, traps in hundredths", map_unmap.traps_hundredths, 100 * MAP_UNMAP_TRAPS);
        floor("open + map + start at EL1", open.el1, OPEN_CLOSE_MAX);
        floor("batches of 64 at EL0, per request", batches.el0.unwrap_or(u64::MAX), BATCH_MAX);
        floor("batches of 64, traps in hundredths", batches.traps_hundredths, 5);
        floor("what a queue adds to a fork at EL1", fork_with.el1.saturating_sub(fork.el1), FORK_MAX);
        floor("kernel-side compress at EL1", kernel_side.el1, KERNEL_COMPRESS_MAX);
        floor("close at EL1", close.el1, OPEN_CLOSE_MAX);
        assert_eq!(missed, 0, "floors were missed");
    }
}

/// Where memory is not shared but reserved: what the user has must be copied there and back.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_pasid_1p0_icount {
    use super::kernel::Bench;
    use super::process::Series;
    use super::row;

    #[test]
    fn copies_through_reserved_memory() {
        let bench = Bench::start();
        row::head();
        row::print("4 KiB request, copies in and out", &bench.process(Series::PageByCopies, 64), "");
    }
}

/// The same faults by a device that asks for its pages.
#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_atspri_1p0_icount {
    use super::kernel::Bench;
    use super::on_1p0_icount::FAULT_MAX;
    use super::process::Series;
    use super::row;

    #[test]
    fn page_requests() {
        let bench = Bench::start();
        row::head();
        let warm = bench.process(Series::Warm, 64);
        let write = bench.process(Series::FirstWrite, 64).beyond(&warm);
        row::print("first write, page asked for by PRI", &write, "");
        let read = bench.process(Series::FirstRead, 64).beyond(&warm);
        row::print("first read, page asked for by PRI", &read, "");
        row::print("map + unmap + TLBI + ATC_INV of a page", &bench.map_unmap(), "");
        assert!(write.el1 <= FAULT_MAX && read.el1 <= FAULT_MAX, "a page request may cost what a stall may");
    }
}
