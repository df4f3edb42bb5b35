//! Command queue: every opcode's legality, errors, stop and repair, CMD_SYNC (SM-I08 to SM-I14, SM-I19).

use hal::AccessKind;
use smmu_model::{Profile, Violation};
use smmu_spec::command::Opcode;

use super::model_bench::*;

fn is_accepted(profile: Profile, words: [u64; 2]) -> bool {
    let mut b = Bench::new(profile);
    b.raw_command(words);
    match b.command_error() {
        (0, false) => {
            assert_eq!(b.read(0x09c), 1);
            true
        }
        (1, true) => {
            assert_eq!(b.read(0x09c) & 0xf_ffff, 0, "CONS stays at the offending command");
            false
        }
        other => panic!("{words:x?}: {other:?}"),
    }
}

#[test]
fn sm_i09_every_opcode_is_accepted_or_illegal_as_the_profile_says() {
    let common = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x46];
    let stalls = [0x44, 0x45];
    let stage2 = [0x20, 0x21, 0x22, 0x23, 0x28, 0x2a];
    for op in 0..=0xff_u64 {
        let everywhere = common.contains(&op);
        assert_eq!(is_accepted(Profile::STALL_S1, [op, 0]), everywhere || stalls.contains(&op), "{:?}", Opcode(op as u8));
        let with_stage2 = everywhere || stalls.contains(&op) || stage2.contains(&op);
        assert_eq!(is_accepted(Profile::STALL, [op, 0]), with_stage2, "{:?} with stage 2", Opcode(op as u8));
        let with_ats = everywhere || stage2.contains(&op) || [0x40, 0x41].contains(&op);
        assert_eq!(is_accepted(Profile::ATSPRI, [op, 0]), with_ats, "{:?} with ATS and PRI", Opcode(op as u8));
        assert_eq!(is_accepted(Profile::QEMU72, [op, 0]), everywhere, "{:?} without stalls", Opcode(op as u8));
        assert_eq!(is_accepted(Profile::MIN, [op, 0]), everywhere, "{:?} of min", Opcode(op as u8));
        assert!(!is_accepted(Profile::STALL_S1, [op | 1 << 10, 0]), "SSec with {:?}", Opcode(op as u8));
    }
}

#[test]
fn sm_i08_sync_with_cs_3_is_illegal() {
    assert!(!is_accepted(Profile::STALL_S1, [0x3046, 0]));
}

#[test]
fn sm_i03_range_fields_are_illegal_where_the_architecture_says() {
    for op in [0x22, 0x23, 0x2a] {
        assert!(!is_accepted(Profile::STALL, [op, 0x1000 | 1 << 10]), "NUM = SCALE = TTL = 0 with TG");
        assert!(is_accepted(Profile::STALL, [op | 1 << 12, 0x1000 | 1 << 10]));
    }
    for op in [0x12, 0x13] {
        let num = |n: u64| op | n << 12;
        assert!(!is_accepted(Profile::STALL_S1, [op, 0x1000 | 1 << 10]), "NUM = SCALE = TTL = 0 with TG");
        assert!(is_accepted(Profile::STALL_S1, [op, 0x1000 | 1 << 10 | 3 << 8]));
        assert!(is_accepted(Profile::STALL_S1, [num(1), 0x1000 | 1 << 10]));
        assert!(!is_accepted(Profile::STALL_S1, [op, 0x4000 | 2 << 10 | 1 << 8]), "16K with TTL 1 counts as TTL 0");
        assert!(!is_accepted(Profile::MIN, [num(1), 0x1000 | 1 << 10]), "no IDR3.RIL");
        assert!(is_accepted(Profile::MIN, [op, 0x1000]));
    }
}

#[test]
fn earlier_commands_are_done_and_later_ones_wait_until_repair() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.push([0x46, 0]);
    b.push([0xff, 0]);
    b.push([0x1046, 0]);
    b.kick();
    assert_eq!(b.read(0x09c), 1 << 24 | 1);
    assert_eq!(b.irq.0, [3], "the SYNC behind the error did not run");
    b.push([0x1046, 0]);
    b.kick();
    assert_eq!(b.read(0x098), 4, "PROD may move while stopped");
    assert_eq!(b.read(0x09c), 1 << 24 | 1);
    // Acknowledged without repair: the same error again.
    b.write(0x064, 1);
    assert_eq!((b.command_error(), b.read(0x060)), ((1, true), 0));
    b.mem.set(CMDQ + 16, 0x46);
    b.write(0x064, 0);
    assert_eq!(b.read(0x09c) & 0xf_ffff, 4, "resumes without a new PROD write");
    assert!(!b.command_error().1);
    assert_eq!(b.irq.0, [3, 3, 2, 2]);
}

#[test]
fn sm_i10_queue_read_abort_is_cerror_abt_and_retried_after_acknowledgement() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.mem.holes.push(CMDQ..CMDQ + 0x80);
    b.raw_command([0x46, 0]);
    assert_eq!(b.command_error(), (2, true));
    b.mem.holes.pop();
    b.write(0x064, 1);
    assert_eq!((b.read(0x09c) & 0xf_ffff, b.command_error().1), (1, false));
}

#[test]
fn sm_i12_the_queue_wraps_at_every_size() {
    for log2 in 0..=3_u32 {
        let mut b = Bench::reset(Profile::STALL_S1);
        b.write64(0x090, CMDQ | u64::from(log2));
        b.write(0x020, 8);
        let mask = (2_u32 << log2) - 1;
        for n in 1..=3 * (1 << log2) {
            b.mem.set(CMDQ + 16 * u64::from((n - 1) & ((1 << log2) - 1)), 0x46);
            b.write(0x098, n & mask);
            assert_eq!(b.read(0x09c), n & mask, "log2 {log2}");
        }
        assert_eq!(b.model.counters().commands, 3 << log2);
    }
}

#[test]
fn a_full_queue_is_executed_once_each() {
    let mut b = Bench::new(Profile::STALL_S1);
    for _ in 0..8 {
        b.push([0x1046, 0]);
    }
    b.kick();
    assert_eq!((b.read(0x09c), b.irq.0.len()), (8, 8));
}

#[test]
fn sm_i13_prod_beyond_full_is_a_violation_and_nothing_runs() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.sync();
    b.write(0x098, 0xa);
    assert_eq!(b.violations(), [Violation::IndicesApart { offset: 0x98 }]);
    assert_eq!(b.read(0x09c), 1);
    b.write(0x098, 0);
    assert_eq!(b.read(0x09c), 1, "backwards is 15 ahead");
}

#[test]
fn sm_i14_commands_queued_while_disabled_run_on_enable() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write64(0x090, CMDQ | 3);
    b.mem.set(CMDQ, 0x1046);
    b.write(0x098, 1);
    assert_eq!((b.read(0x09c), b.irq.0.len()), (0, 0));
    b.write(0x020, 8);
    assert_eq!((b.read(0x09c), b.irq.0), (1, vec![2]));
}

#[test]
fn sync_by_interrupt_message_and_event() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.raw_command([0x1234_5678_0fc0_1046, 0x6000_0000]);
    assert_eq!(b.mem.messages, [(0x6000_0000, 0x1234_5678)]);
    assert_eq!(b.irq.0, [2], "the wired line too");
    b.raw_command([0x1046, 0]);
    assert_eq!((b.mem.messages.len(), b.irq.0.len()), (1, 2));
    b.raw_command([0x46, 0x6000_0000]);
    assert_eq!((b.mem.messages.len(), b.irq.0.len()), (1, 2), "CS = 0 signals nothing");
    assert!(!b.model.take_sev());
    b.raw_command([0x2046, 0]);
    assert!(b.model.take_sev() && !b.model.take_sev());
    let mut q = Bench::new(Profile::QEMU72);
    q.raw_command([0x1234_5678_0fc0_1046, 0x6000_0000]);
    q.raw_command([0x2046, 0]);
    assert_eq!((q.mem.messages.len(), q.irq.0, q.model.take_sev()), (0, vec![2], false), "no MSI, no SEV");
}

#[test]
fn sync_message_may_land_in_its_own_queue_slot() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.raw_command([0x0fc0_1046, CMDQ]);
    assert_eq!((b.mem.get(CMDQ), b.read(0x09c)), (0, 1));
}

#[test]
fn aborted_sync_message_is_msi_cmdq_abt_err_and_the_queue_goes_on() {
    let mut b = Bench::new(Profile::STALL_S1);
    b.push([0x1046, HOLE.start]);
    b.push([0x46, 0]);
    b.kick();
    assert_eq!((b.read(0x09c), b.read(0x060)), (2, 1 << 4));
}

#[test]
fn tags_that_do_not_exist_make_the_command_do_nothing() {
    let mut b = Bench::stage1();
    let at = b.map(0x1000, 0x5000_0000 | PAGE_RW);
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000));
    b.mem.set(at, 0x5555_0000 | PAGE_RW);
    b.raw_command([0x0007_0001_0000_0011, 0]);
    assert_eq!(b.violations(), [Violation::UnimplementedTag { command: 0x0007_0001_0000_0011 }]);
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000), "stale: VMID 1 without stage 2");
    b.raw_command([0x0007_0000_0000_0011, 0]);
    assert_eq!(b.read_at(0x1000), Ok(0x5555_0000));
}

#[test]
fn sm_i19_prefetch_has_no_effect_on_results() {
    let mut b = Bench::stage1();
    b.raw_command([0x0000_0008_0000_0001, 0]);
    b.raw_command([0x0000_0099_0000_0001, 0]);
    b.raw_command([0x0000_0008_0000_0002, 0x9000]);
    b.no_event();
    assert_eq!((b.command_error(), b.read(0x09c)), ((0, false), 3), "each was executed");
    b.map(0x9000, 0x5000_0000 | PAGE_RW);
    assert_eq!(b.at(0x9000, AccessKind::Read), Ok(0x5000_0000), "failed walks are not cached");
    b.map(0xa000, 0x5000_1000 | PAGE_RW);
    b.raw_command([0x0000_0008_0000_0002, 0xa000]);
    b.map(0xa000, 0x5000_2000 | PAGE_RW);
    assert_eq!(b.at(0xa000, AccessKind::Read), Ok(0x5000_1000), "a page that is there was fetched");
}

#[test]
fn range_fields_without_a_granule_are_a_violation() {
    let mut b = Bench::new(Profile::STALL_S1);
    let words = [0x0007_0000_0000_0012 | 3 << 12, 0x1000];
    b.raw_command(words);
    assert_eq!((b.command_error(), b.violations()), ((0, false), vec![Violation::RangeFieldsWithoutGranule { command: words[0] }]));
}

#[test]
fn commands_of_stage_1_are_illegal_without_it() {
    let mut only_stage2 = Profile::STALL;
    only_stage2.ids.idr0 &= !(1 << 1 | 1 << 9);
    for op in [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23] {
        assert!(!is_accepted(only_stage2, [op, 0]), "{op:#x}");
    }
    for op in [0x03, 0x04, 0x28, 0x2a, 0x30] {
        assert!(is_accepted(only_stage2, [op, 0]), "{op:#x}");
    }
}

#[test]
fn an_illegal_sync_waits_for_no_endpoint_and_reports_none() {
    let mut b = Bench::new(Profile::ATSPRI);
    b.raw_command([0x0000_0008_0000_0040, 0x34]);
    b.raw_command([0x3046, 0]);
    assert_eq!(b.command_error(), (1, true), "while the endpoint is silent");
    assert!(b.model.take_atc_invalidation().is_some());
    b.model.finish_atc_invalidation(false, &mut b.mem, &mut b.irq);
    b.write(0x064, 1);
    assert_eq!(b.command_error(), (1, true), "still its own fault");
    b.mem.set(CMDQ + 16, 0x46);
    b.write(0x064, 0);
    assert_eq!(b.command_error(), (3, true), "a legal one reports the endpoint");
}
