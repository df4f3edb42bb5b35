//! Event queue: translation fault records, overflow, aborts, interrupts (SM-F01, SM-F02, SM-F11, SM-F15).

use hal::{AccessKind, Iova, Requester};
use smmu_model::{Fault, Profile, Transaction};

use super::model_bench::*;

const RNW: u64 = 1 << 35;
const PNU: u64 = 1 << 33;
const IND: u64 = 1 << 34;
const CLASS_IN: u64 = 2 << 40;
const CLASS_TT: u64 = 1 << 40;

fn expect(b: &mut Bench, id: u64, dw1: u64, address: u64, fetch: u64) {
    assert_eq!(b.event(), [0x0000_0008_0000_0000 | id, dw1, address, fetch]);
}

#[test]
fn sm_f01_f_translation_of_holes_ranges_and_disabled_walks() {
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    for address in [0x2000, 0x20_0000, 0x4000_0000, 0x80_0000_0000] {
        assert_eq!(b.read_at(address | 0xabc), Err(Fault::Abort));
        expect(&mut b, 0x10, RNW | CLASS_IN, address | 0xabc, 0);
    }
    let reads = b.mem.reads;
    for address in [1 << 48, 0x0080_0000_0000_0000, 0xffff_ffff_ffff_f000, 0x0100_0000_0000_1000] {
        assert_eq!(b.write_at(address), Err(Fault::Abort));
        expect(&mut b, 0x10, CLASS_IN, address, 0);
    }
    assert_eq!(b.mem.reads, reads, "SM-T08: no table is read for an address out of range");
}

#[test]
fn sm_f01_client_attributes_of_the_record() {
    let mut b = Bench::stage1();
    let privileged = Requester { privileged: true, ..who(SID, None) };
    assert!(b.translate_as(privileged, 0x9000, AccessKind::Execute).is_err());
    expect(&mut b, 0x10, RNW | PNU | IND | CLASS_IN, 0x9000, 0);
    assert!(b.translate_as(privileged, 0x9000, AccessKind::Write).is_err());
    expect(&mut b, 0x10, PNU | CLASS_IN, 0x9000, 0);
}

#[test]
fn sm_f01_f_uut_carries_the_access_as_it_came_and_a_reason_also_while_disabled() {
    let mut b = Bench::new(Profile::OVERRIDES);
    // PRIVCFG = privileged, INSTCFG = instruction: not for this record.
    b.set_ste(SID, [STE_S1, STE_DW1 | 3 << 48 | 3 << 50]);
    let tx = |substream, kind| Transaction { who: who(SID, substream), iova: Iova(0x7010), kind };
    let refused = |b: &mut Bench, tx| b.model.unsupported(&tx, 0x1234, &mut b.mem, &mut b.irq);
    assert_eq!(refused(&mut b, tx(Some(5), AccessKind::Read)), Fault::Abort);
    assert_eq!(b.event(), [0x0000_0008_0000_5801, 0x0000_0008_0000_1234, 0x7010, 0]);
    b.write(0x020, 0xc);
    assert_eq!(refused(&mut b, tx(None, AccessKind::Write)), Fault::Abort);
    assert_eq!(b.event(), [0x0000_0008_0000_0001, 0x0000_0000_0000_1234, 0x7010, 0], "SMMUEN = 0");
}

#[test]
fn sm_f01_f_addr_size_of_table_and_leaf() {
    let mut b = Bench::stage1();
    b.set_cd(CDTAB, CD & !(7 << 32) | 2 << 32);
    b.map(0x1000, 1 << 40 | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Err(Fault::Abort));
    expect(&mut b, 0x11, RNW | CLASS_IN, 0x1000, 0);
    b.mem.set(ROOT + 8, 1 << 41 | TABLE);
    assert_eq!(b.read_at(1 << 39), Err(Fault::Abort));
    expect(&mut b, 0x11, RNW | CLASS_IN, 1 << 39, 0);
}

#[test]
fn sm_f01_f_access_and_f_permission() {
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x400);
    b.map(0x2000, 0x5000_0000 | PAGE_RO);
    b.map(0x3000, 0x5000_0000 | PAGE_RO & !0x400);
    assert_eq!(b.read_at(0x1008), Err(Fault::Abort));
    expect(&mut b, 0x12, RNW | CLASS_IN, 0x1008, 0);
    assert_eq!(b.write_at(0x2008), Err(Fault::Abort));
    expect(&mut b, 0x13, CLASS_IN, 0x2008, 0);
    assert_eq!(b.write_at(0x3008), Err(Fault::Abort));
    expect(&mut b, 0x12, CLASS_IN, 0x3008, 0);
}

#[test]
fn sm_f01_f_walk_eabt_names_the_descriptor() {
    let mut b = Bench::stage1();
    b.mem.set(ROOT + 2 * 8, HOLE.start | TABLE);
    let address = 2 << 39 | 5 << 30;
    assert_eq!(b.write_at(address), Err(Fault::Abort));
    expect(&mut b, 0x0b, CLASS_TT, address, HOLE.start + 5 * 8);
}

#[test]
fn a_r_s_decide_about_governed_faults_only() {
    for (r, a) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut b = Bench::stage1();
        b.set_cd(CDTAB, CD & !(CD_R | CD_A) | (r * CD_R) | (a * CD_A));
        let expected = if a == 1 { Fault::Abort } else { Fault::ReadZeroWriteIgnore };
        assert_eq!(b.read_at(0x9000), Err(expected), "R {r} A {a}");
        assert_eq!(b.events().len() as u64, r);
        b.mem.set(ROOT + 2 * 8, HOLE.start | TABLE);
        assert_eq!(b.read_at(2 << 39), Err(Fault::Abort), "F_WALK_EABT always aborts");
        assert_eq!(b.event()[0] & 0xff, 0x0b, "and is always recorded");
    }
}

#[test]
fn sm_f11_overflow_toggles_once_until_acknowledged() {
    let mut b = Bench::with_events(Profile::STALL_S1, 1);
    let fault = |b: &mut Bench| assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    for _ in 0..2 {
        fault(&mut b);
    }
    assert_eq!(b.read(0x1_00a8), 2);
    for _ in 0..3 {
        fault(&mut b);
        assert_eq!(b.read(0x1_00a8), 0x8000_0002);
    }
    assert_eq!(b.model.counters().events_lost, 3);
    assert_eq!((b.read(0x060), b.read(0x064)), (0, 0), "an overflow is no global error");
    // Room without acknowledgement: records are written again, the flag stays.
    b.write(0x1_00ac, 1);
    fault(&mut b);
    assert_eq!(b.read(0x1_00a8), 0x8000_0003);
    fault(&mut b);
    assert_eq!(b.read(0x1_00a8), 0x8000_0003, "already in overflow");
    b.write(0x1_00ac, 0x8000_0001);
    fault(&mut b);
    assert_eq!(b.read(0x1_00a8), 0x0000_0003, "toggles again");
}

#[test]
fn records_vanish_without_overflow_while_the_queue_is_disabled() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.write(0x020, 9);
    assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    b.write(0x020, 0xd);
    assert_eq!((b.read(0x1_00a8), b.events()), (0, vec![]));
}

#[test]
fn sm_f15_aborted_record_write_raises_eventq_abt_err_and_stops_delivery() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.mem.holes.push(EVENTQ..EVENTQ + 0x100);
    let fault = |b: &mut Bench| assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    fault(&mut b);
    assert_eq!((b.read(0x060), b.read(0x1_00a8)), (4, 0));
    assert_eq!(b.irq.0, [3]);
    b.mem.holes.pop();
    fault(&mut b);
    assert_eq!(b.read(0x1_00a8), 0, "delivery is stopped");
    b.write(0x064, 4);
    fault(&mut b);
    assert_eq!((b.read(0x1_00a8), b.read(0x060)), (1, 4));
}

#[test]
fn interrupt_on_empty_to_non_empty_only() {
    let mut b = Bench::new(Profile::STALL_S1);
    let fault = |b: &mut Bench| assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    fault(&mut b);
    fault(&mut b);
    assert_eq!(b.irq.0, [0]);
    b.events();
    fault(&mut b);
    assert_eq!(b.irq.0, [0, 0]);
    b.write(0x050, 1);
    b.events();
    fault(&mut b);
    assert_eq!(b.irq.0, [0, 0], "disabled in IRQ_CTRL");
}

#[test]
fn message_signalled_interrupts_of_events_and_global_errors() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.write(0x050, 0);
    b.write64(0x0b0, 0x6000_0000);
    b.write(0x0b8, 0x55);
    b.write64(0x068, 0x6000_0010);
    b.write(0x070, 0x66);
    b.write(0x050, 5);
    assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    assert_eq!(b.mem.messages, [(0x6000_0000, 0x55)]);
    b.raw_command([0, 0]);
    assert_eq!(b.mem.messages, [(0x6000_0000, 0x55), (0x6000_0010, 0x66)]);
}

#[test]
fn aborted_messages_raise_their_own_errors() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.write(0x050, 0);
    b.write64(0x0b0, HOLE.start);
    b.write64(0x068, HOLE.start);
    b.write(0x050, 5);
    assert!(b.translate_as(who(3, None), 0, AccessKind::Read).is_err());
    assert_eq!(b.read(0x060), 1 << 5 | 1 << 7, "MSI_EVENTQ_ABT_ERR, whose own message aborts too");
    assert_eq!(b.irq.0, [0, 3], "MSI_GERROR_ABT_ERR raises no interrupt");
}

#[test]
fn sm_i16_global_errors_toggle_and_are_acknowledged_by_value() {
    let mut b = Bench::new(Profile::STALL_S1);
    for round in 0..3 {
        b.raw_command([0, 0]);
        let gerror = b.read(0x060);
        assert_eq!((gerror ^ b.read(0x064)) & 1, 1, "round {round}");
        b.mem.set(CMDQ + 16 * u64::from((b.cmd_prod() - 1) & 7), 0x46);
        b.write(0x064, gerror);
        assert_eq!(b.read(0x060) ^ b.read(0x064), 0);
    }
    assert_eq!(b.violations(), []);
    let gerror = b.read(0x060);
    b.write(0x064, gerror ^ 0x10);
    assert_eq!(b.violations(), [smmu_model::Violation::InactiveErrorAcknowledged { bits: 0x10 }]);
    assert_eq!(b.read(0x060) ^ b.read(0x064), 0, "the inactive bit was not toggled");
}
