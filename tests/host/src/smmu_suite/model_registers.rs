//! Register file: reset values, access rules, guards, update protocols (SM-C01 to SM-C10).

use hal::AccessKind;
use smmu_model::{Fault, Policy, Profile, Violation};

use super::model_bench::*;

/// Offset, width, reset value, writable bits while everything is off; typed from the register map.
const TABLE_STALL_S1: &[(u64, u8, u64, u64)] = &[
    (0x000, 4, 0x0848_709a, 0),
    (0x004, 4, 0x014a_0410, 0),
    (0x008, 4, 0, 0),
    (0x00c, 4, 0x3404, 0),
    (0x010, 4, 0, 0),
    (0x014, 4, 0x0040_0075, 0),
    (0x018, 4, 0, 0),
    (0x01c, 4, 3, 0),
    (0x020, 4, 0, 0xd),
    (0x024, 4, 0, 0),
    (0x028, 4, 0, 0xfff),
    (0x02c, 4, 0, 0x2),
    (0x040, 4, 0, 0),
    (0x050, 4, 0, 0x5),
    (0x054, 4, 0, 0),
    (0x060, 4, 0, 0),
    (0x064, 4, 0, 0),
    (0x068, 8, 0, 0x00ff_ffff_ffff_fffc),
    (0x070, 4, 0, 0xffff_ffff),
    (0x074, 4, 0, 0x3f),
    (0x080, 8, 0, 0x40ff_ffff_ffff_ffc0),
    (0x088, 4, 0, 0x0003_07ff),
    (0x090, 8, 0, 0x40ff_ffff_ffff_ffff),
    (0x098, 4, 0, 0x1),
    (0x09c, 4, 0, 0x7f00_0001),
    (0x0a0, 8, 0, 0x40ff_ffff_ffff_ffff),
    (0x0b0, 8, 0, 0x00ff_ffff_ffff_fffc),
    (0x0b8, 4, 0, 0xffff_ffff),
    (0x0bc, 4, 0, 0x3f),
    (0x0c0, 8, 0, 0),
    (0x0d0, 8, 0, 0),
    (0x0d8, 4, 0, 0),
    (0x0dc, 4, 0, 0),
    (0x100, 4, 0, 0),
    (0x180, 4, 0, 0),
    (0x190, 4, 0, 0),
    (0x200, 4, 0, 0),
    (0xff0, 4, 0x0d, 0),
    (0xff4, 4, 0xf0, 0),
    (0xff8, 4, 0x05, 0),
    (0xffc, 4, 0xb1, 0),
    (0x8000, 4, 0, 0),
    (0x1_00a8, 4, 0, 0x8000_0001),
    (0x1_00ac, 4, 0, 0x8000_0001),
    (0x1_00c8, 4, 0, 0),
    (0x1_00cc, 4, 0, 0),
    (0x1_0020, 4, 0, 0),
];

#[test]
fn sm_c01_registers_at_reset_and_reserved_space_read_zero() {
    let mut b = Bench::reset(Profile::STALL_S1);
    for &(offset, bytes, reset, _) in TABLE_STALL_S1 {
        assert_eq!(b.model.mmio_read(offset, bytes), reset, "{offset:#x}");
    }
    let known = |o: u64| TABLE_STALL_S1.iter().any(|&(at, bytes, ..)| (at..at + u64::from(bytes)).contains(&o));
    for offset in (0..0x2_0000).step_by(4).filter(|&o| !known(o) && o != 0x044) {
        assert_eq!(b.read(offset), 0, "{offset:#x}");
    }
    assert_eq!(b.read(0x044), 0x0010_0000, "GBPA aborts");
}

#[test]
fn sm_c02_bit_bash_changes_writable_bits_and_no_neighbour() {
    for (i, &(offset, bytes, reset, writable)) in TABLE_STALL_S1.iter().enumerate() {
        for bit in 0..8 * u32::from(bytes) {
            let mut b = Bench::reset(Profile::STALL_S1);
            b.model.mmio_write(offset, bytes, 1 << bit, &mut b.mem, &mut b.irq);
            let expected = if writable == 0 { reset } else { (1 << bit) & writable };
            assert_eq!(b.model.mmio_read(offset, bytes), expected, "{offset:#x} bit {bit}");
            for &(other, width, value, _) in TABLE_STALL_S1.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, r)| r) {
                let value = match (offset, other) {
                    (0x020, 0x024) | (0x050, 0x054) => expected,
                    _ => value,
                };
                assert_eq!(b.model.mmio_read(other, width), value, "{other:#x} after {offset:#x} bit {bit}");
            }
        }
    }
}

#[test]
fn sm_c03_halves_of_wide_registers_and_bad_widths() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write(0x084, 0x0012_3456);
    b.write(0x080, 0x89ab_cdc0);
    assert_eq!(b.model.mmio_read(0x080, 8), 0x0012_3456_89ab_cdc0);
    assert_eq!((b.read(0x080), b.read(0x084)), (0x89ab_cdc0, 0x0012_3456));
    for (offset, bytes) in [(0x080, 1), (0x080, 2), (0x081, 4), (0x084, 8), (0x020, 8), (0x022, 4)] {
        assert_eq!(b.model.mmio_read(offset, bytes), 0);
        b.model.mmio_write(offset, bytes, u64::MAX, &mut b.mem, &mut b.irq);
        assert_eq!(b.violations(), [Violation::AccessShape { offset, bytes }; 2]);
    }
    assert_eq!((b.read(0x020), b.model.mmio_read(0x080, 8)), (0, 0x0012_3456_89ab_cdc0));
}

#[test]
fn sm_c04_acknowledgement_follows_after_the_configured_accesses() {
    for delay in [0_u32, 1, 10_000] {
        let mut b = Bench::reset(Profile::STALL_S1);
        b.model.set_ack_delay(delay);
        b.write(0x020, 8);
        for n in 1..delay {
            assert_eq!(b.read(0x024), 0, "access {n} of {delay}");
        }
        assert_eq!(b.read(0x024), 8, "delay {delay}");
        b.write(0x050, 4);
        for _ in 1..delay {
            assert_eq!(b.read(0x054), 0);
        }
        assert_eq!(b.read(0x054), 4);
    }
}

#[test]
fn cr0_bits_of_absent_features_are_never_acknowledged() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write(0x020, 0x5d2);
    assert_eq!(b.read(0x024), 0);
}

#[test]
fn a_field_rewritten_before_its_acknowledgement_is_a_violation() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.model.set_ack_delay(3);
    b.write(0x020, 8);
    b.write(0x020, 0xc);
    assert_eq!(b.violations(), [], "another field may be added");
    b.write(0x020, 4);
    assert_eq!(b.violations(), [Violation::UpdateInProgress { offset: 0x20 }]);
    b.write(0x044, 1 << 31);
    b.write(0x044, 1 << 31);
    assert_eq!(b.violations(), [Violation::UpdateInProgress { offset: 0x44 }]);
}

#[test]
fn commands_queued_before_the_acknowledgement_wait_for_it() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write64(0x090, CMDQ | 3);
    b.mem.set(CMDQ, 0x46);
    b.model.set_ack_delay(2);
    b.write(0x020, 8);
    b.write(0x098, 1);
    assert_eq!(b.model.mmio_read(0x09c, 4), 0, "not enabled yet");
    b.model.step(&mut b.mem, &mut b.irq);
    assert_eq!(b.read(0x09c), 1);
}

#[test]
fn sm_c05_gbpa_needs_update_and_update_clears() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write(0x044, 0x1000);
    assert_eq!((b.read(0x044), b.violations()), (0x0010_0000, vec![Violation::GbpaWithoutUpdate]));
    b.model.set_ack_delay(2);
    b.write(0x044, 0x8000_1000);
    assert_eq!(b.read(0x044), 0x8010_0000, "old value, Update set");
    assert_eq!(b.read(0x044), 0x1000);
}

#[test]
fn sm_c06_gbpa_written_while_enabled_is_policy_for_later() {
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    b.write(0x044, 0x8000_1000);
    assert_eq!(b.read_at(0x1000), Ok(0x5000_0000));
    assert!(b.read_at(0x9000).is_err());
    b.write(0x020, 0xc);
    assert_eq!(b.read_at(0x9000), Ok(0x9000), "bypass now");
}

#[test]
fn sm_c07_traffic_before_initialisation_aborts_without_a_record() {
    let mut b = Bench::reset(Profile::STALL_S1);
    assert_eq!(b.read_at(0x1000), Err(Fault::Abort));
    assert_eq!(b.model.counters().events_lost, 0);
    b.write(0x044, 0x8000_0000);
    assert_eq!(b.read_at(0x1000), Ok(0x1000));
    assert_eq!(b.read_at(1 << 48), Err(Fault::Abort), "beyond the output address size");
    let mut wide = Bench::reset(Profile::STALL_S1.with_oas(6));
    wide.write(0x044, 0x8000_0000);
    assert_eq!(wide.at(1 << 48, AccessKind::Write), Ok(1 << 48));
    assert_eq!(wide.at(1 << 52, AccessKind::Write), Err(Fault::Abort));
}

#[test]
fn sm_c09_guarded_registers_ignore_writes_while_enabled() {
    let guarded_by_all: &[(u64, u8)] = &[(0x02c, 4), (0x080, 8), (0x088, 4), (0x090, 8), (0x09c, 4), (0x0a0, 8), (0x1_00a8, 4)];
    let mut b = Bench::new(Profile::STALL_S1);
    for &(offset, bytes) in guarded_by_all {
        let before = b.model.mmio_read(offset, bytes);
        b.model.mmio_write(offset, bytes, !before, &mut b.mem, &mut b.irq);
        assert_eq!(b.model.mmio_read(offset, bytes), before, "{offset:#x}");
        assert_eq!(b.violations(), [Violation::GuardedWrite { offset }]);
    }
    for offset in [0x068, 0x070, 0x074, 0x0b0, 0x0b8, 0x0bc] {
        b.write(offset, 0x40);
        assert_eq!((b.read(offset), b.violations()), (0, vec![Violation::GuardedWrite { offset }]));
    }
    b.write(0x028, 0);
    assert_eq!((b.read(0x028), b.violations().len()), (0x0d75, 2), "CR1: both halves are guarded");
    b.write(0x020, 0xc);
    b.write(0x028, 0);
    assert_eq!(b.read(0x028), 0x35, "CR1.TABLE_* is free again, QUEUE_* is not");
}

#[test]
fn cmdq_cons_is_writable_only_while_disabled() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write64(0x090, CMDQ | 3);
    b.write(0x09c, 5);
    b.write(0x098, 5);
    assert_eq!((b.read(0x09c), b.read(0x098)), (5, 5));
    b.write(0x020, 8);
    assert_eq!(b.read(0x09c), 5, "empty at 5: nothing ran");
}

#[test]
fn sm_c10_misaligned_bases_are_violations() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write64(0x090, CMDQ | 0x40 | 3);
    b.write64(0x0a0, EVENTQ | 0x80 | 3);
    b.write64(0x080, STRTAB | 0x40);
    b.write(0x088, 5);
    b.write(0x020, 1);
    let expected = [0x090, 0x0a0, 0x080].map(|offset| Violation::MisalignedBase { offset });
    assert_eq!(b.violations(), expected);
}

#[test]
fn sm_c11_queue_length_is_clamped_to_idr1() {
    let mut b = Bench::reset(Profile::MIN);
    b.write64(0x090, CMDQ | 19);
    b.write(0x098, 0xf_ffff);
    assert_eq!(b.read(0x098), 0xf, "8 entries and a wrap bit");
    b.write64(0x0a0, EVENTQ | 19);
    b.write(0x1_00a8, 0x7fff_ffff);
    assert_eq!(b.read(0x1_00a8), 0xf, "the same");
}

#[test]
fn page_0_has_no_alias_of_the_output_queue_indices() {
    let mut b = Bench::reset(Profile::STALL_S1);
    b.write64(0x0a0, EVENTQ | 3);
    b.write(0x1_00a8, 5);
    assert_eq!((b.read(0x1_00a8), b.read(0x0a8), b.read(0x0ac)), (5, 0, 0));
}

#[test]
fn msi_registers_do_not_exist_without_idr0_msi() {
    let mut b = Bench::reset(Profile::QEMU72);
    for offset in [0x068, 0x070, 0x074, 0x0b0, 0x0b8, 0x0bc] {
        b.write(offset, 0x40);
        assert_eq!(b.read(offset), 0, "{offset:#x}");
    }
}

#[test]
fn reset_as_another_profile_starts_over() {
    let mut b = Bench::stage1();
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    assert!(b.read_at(0x1000).is_ok());
    b.model.reset_as(Profile::MIN);
    assert_eq!((b.read(0x000), b.read(0x020), b.read(0x024), b.read(0x044)), (0x0540_100a, 0, 0, 0x0010_0000));
    assert_eq!(b.read_at(0x1000), Err(Fault::Abort));
}

#[test]
fn after_reset_as_structures_mean_what_the_new_profile_says() {
    for policy in [Policy::AlwaysMiss, Policy::Sticky] {
        let mut b = Bench::stage1().policy(policy);
        b.set_cd(CDTAB, CD | CD_S);
        b.map(0x1000, 0x5000_0000 | PAGE_RW);
        assert_eq!(b.read_at(0x1000), Ok(0x5000_0000), "{policy:?}: a CD that stalls");
        b.model.reset_as(Profile::QEMU72);
        b.write64(0x080, STRTAB);
        b.write(0x088, 5);
        b.write(0x020, 1);
        assert_eq!(b.read_at(0x1000), Err(Fault::Abort), "{policy:?}: there are no stalls");
        b.set_cd(CDTAB, CD);
        b.model.set_policy(policy);
        assert_eq!(b.read_at(0x1000), Ok(0x5000_0000), "{policy:?}: a CD that does not");
    }
}
