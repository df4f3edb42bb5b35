//! DMA ports with copies of their own: what a copy may still serve, and what waits for it (SM-I01, SM-I08).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hal::{AccessKind, Iova};
use smmu_model::{Fault, MicroTlb, Policy, Ports, Transaction};
use smmu_spec::command::{Leaf, Operation as O, TlbiRange};

use super::model_bench::*;

const OLD: u64 = 0x5000_0000;
const NEW: u64 = 0x5555_0000;

fn attached(policy: Policy) -> (Bench, &'static Ports) {
    let ports: &'static Ports = Box::leak(Box::new(Ports::new()));
    let mut b = Bench::stage1().policy(policy);
    b.model.attach(ports);
    b.map(0x1000, OLD | PAGE_RW);
    (b, ports)
}

fn reading(iova: u64) -> Transaction {
    Transaction { who: who(SID, None), iova: Iova(iova), kind: AccessKind::Read }
}

fn ask<const N: usize>(port: &mut MicroTlb<'_, N>, b: &mut Bench, iova: u64) -> Result<u64, Fault> {
    port.translate(reading(iova), &mut b.model, &mut b.mem, &mut b.irq).map(|t| t.pa.0)
}

fn hit<const N: usize>(port: &mut MicroTlb<'_, N>, iova: u64) -> Option<u64> {
    port.hit(&reading(iova), |t| t.pa.0)
}

#[test]
fn sm_i01_a_port_serves_the_old_page_until_any_invalidation() {
    let commands = [
        O::TlbiNhVa { vmid: 0, asid: 7, range: TlbiRange::single(0x1000, Leaf::Only) },
        O::TlbiNhAsid { vmid: 0, asid: 7 },
        O::TlbiNsnhAll,
        O::CFGI_ALL,
    ];
    for command in commands {
        let (mut b, ports) = attached(Policy::Sticky);
        let mut port = ports.open::<16>().expect("a port");
        assert_eq!(hit(&mut port, 0x1000), None);
        assert_eq!((ask(&mut port, &mut b, 0x1010), hit(&mut port, 0x1ff0)), (Ok(OLD + 0x10), Some(OLD + 0xff0)));
        b.map(0x1000, NEW | PAGE_RW);
        assert_eq!(hit(&mut port, 0x1000), Some(OLD), "sticky, and no command");
        b.command(command);
        b.sync();
        assert_eq!(hit(&mut port, 0x1000), None, "{command:?}");
    }
}

#[test]
fn a_port_keeps_only_what_is_a_translation_and_stays() {
    for policy in [Policy::AlwaysMiss, Policy::Random { seed: 3 }] {
        let (mut b, ports) = attached(policy);
        let mut port = ports.open::<16>().expect("a port");
        assert_eq!((ask(&mut port, &mut b, 0x1000), hit(&mut port, 0x1000)), (Ok(OLD), None), "{policy:?}");
    }
    let (mut b, ports) = attached(Policy::Sticky);
    let mut port = ports.open::<16>().expect("a port");
    assert_eq!(ask(&mut port, &mut b, 0x7000), Err(Fault::Abort));
    assert_eq!(hit(&mut port, 0x7000), None, "a fault");
    b.set_ste(SID, [9, 0]);
    b.cfgi_all();
    assert_eq!((ask(&mut port, &mut b, 0x1000), hit(&mut port, 0x1000)), (Ok(0x1000), None), "bypassed");
    // A clean page: reads are kept, the write must reach the model.
    let (mut b, ports) = attached(Policy::Sticky);
    let mut port = ports.open::<16>().expect("a port");
    b.set_cd(CDTAB, CD | 3 << 42);
    let at = b.map(0x1000, OLD | PAGE_RO | 1 << 51);
    assert_eq!((ask(&mut port, &mut b, 0x1000), hit(&mut port, 0x1000)), (Ok(OLD), Some(OLD)));
    let write = Transaction { kind: AccessKind::Write, ..reading(0x1000) };
    assert_eq!(port.hit(&write, |_| ()), None);
    assert!(port.translate(write, &mut b.model, &mut b.mem, &mut b.irq).is_ok());
    assert_eq!(b.mem.get(at) & 0x80, 0, "dirty");
    assert_eq!(port.hit(&write, |t| t.pa.0), Some(OLD));
    // Of another model nothing is kept.
    let (mut other, _) = attached(Policy::Sticky);
    let mut port = ports.open::<16>().expect("a port");
    assert_eq!((ask(&mut port, &mut other, 0x1000), hit(&mut port, 0x1000)), (Ok(OLD), None));
}

#[test]
fn sm_i08_sync_waits_for_accesses_by_what_was_invalidated() {
    let (mut b, ports) = attached(Policy::Sticky);
    let mut port = ports.open::<16>().expect("a port");
    assert!(ask(&mut port, &mut b, 0x1000).is_ok());
    let (tlbi, sync) = (O::TlbiNhAsid { vmid: 0, asid: 7 }, [0x46, 0]);
    port.hit(&reading(0x1000), |_| {
        b.raw_command(sync);
        assert_eq!(b.read(0x09c), 1, "nothing was invalidated: no reason to wait");
        b.command(tlbi);
        b.raw_command(sync);
        assert_eq!(b.read(0x09c), 2, "the access is still under way");
        assert_eq!(b.read(0x098), 3);
    });
    assert_eq!(b.read(0x09c), 2);
    b.model.step(&mut b.mem, &mut b.irq);
    assert_eq!(b.read(0x09c), 3, "it has left");
}

#[test]
fn smmuen_0_is_acknowledged_after_the_last_access() {
    let (mut b, ports) = attached(Policy::Sticky);
    let mut port = ports.open::<16>().expect("a port");
    assert!(ask(&mut port, &mut b, 0x1000).is_ok());
    port.hit(&reading(0x1000), |_| {
        b.write(0x020, 0xc);
        assert_eq!(b.read(0x024), 0xd);
        assert_eq!(b.read_at(0x1000), Err(Fault::Abort), "new ones follow GBPA already");
    });
    assert_eq!(b.read(0x024), 0xc);
    assert_eq!(hit(&mut port, 0x1000), None);
}

/// Several engine cores read pages while software moves them about: what a page held before is overwritten as soon as CMD_SYNC has
/// completed, and no engine core ever reads that.
#[test]
fn ports_beside_each_other_never_read_a_page_that_was_given_up() {
    const PAGES: u64 = 8;
    const GIVEN_UP: u64 = u64::MAX;
    let (mut b, ports) = attached(Policy::Sticky);
    for page in 0..PAGES {
        b.map(page << 12, (OLD + (page << 12)) | PAGE_RW);
    }
    // What stands in the 16 frames at OLD: the number of the page that is there.
    let frames: Vec<_> = (0..2 * PAGES).map(|f| AtomicU64::new(if f < PAGES { f } else { GIVEN_UP })).collect();
    let (machine, done, progress) = (Mutex::new(b), AtomicBool::new(false), AtomicU64::new(0));
    let moves = if cfg!(miri) { 20 } else { 2_000 };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut port = ports.open::<8>().expect("a port");
                    let mut reads = 0_u64;
                    while !done.load(Ordering::Relaxed) {
                        let page = reads / 16 % PAGES;
                        let tx = reading(page << 12);
                        let look = |pa: u64| frames[((pa - OLD) >> 12) as usize].load(Ordering::Relaxed);
                        // Now and then an access takes its time.
                        let slowly = |pa| {
                            if reads.is_multiple_of(17) {
                                std::thread::yield_now();
                            }
                            look(pa)
                        };
                        let found = port.hit(&tx, |t| slowly(t.pa.0)).unwrap_or_else(|| {
                            let b = &mut *machine.lock().unwrap_or_else(PoisonError::into_inner);
                            look(port.translate(tx, &mut b.model, &mut b.mem, &mut b.irq).expect("mapped").pa.0)
                        });
                        assert_eq!(found, page, "after {reads} reads");
                        reads += 1;
                        progress.fetch_add(1, Ordering::Relaxed);
                    }
                    port.hits()
                })
            })
            .collect();
        for i in 0..moves {
            let (page, begin) = (i * 5 % PAGES, progress.load(Ordering::Relaxed));
            while progress.load(Ordering::Relaxed) < begin + 60 && readers.iter().any(|r| !r.is_finished()) {
                std::thread::yield_now();
            }
            let at = |frame: u64| OLD + (frame << 12);
            let (old, new) = {
                let free = frames.iter().position(|f| f.load(Ordering::Relaxed) == GIVEN_UP).expect("a free frame") as u64;
                let used = frames.iter().position(|f| f.load(Ordering::Relaxed) == page).expect("the page's frame");
                (used, free)
            };
            frames[new as usize].store(page, Ordering::Relaxed);
            let mut b = machine.lock().unwrap_or_else(PoisonError::into_inner);
            b.map(page << 12, at(new) | PAGE_RW);
            b.command(O::TlbiNhVa { vmid: 0, asid: 7, range: TlbiRange::single(page << 12, Leaf::Only) });
            b.raw_command([0x46, 0]);
            while b.read(0x09c) != b.cmd_prod() {
                let b = &mut *b;
                b.model.step(&mut b.mem, &mut b.irq);
            }
            drop(b);
            frames[old].store(GIVEN_UP, Ordering::Relaxed);
        }
        done.store(true, Ordering::Relaxed);
        let hits: u64 = readers.into_iter().map(|r| r.join().expect("a reader that saw no page given up")).sum();
        assert!(cfg!(miri) || hits > 10_000, "{hits} reads without the lock");
    });
}
