//! Overrides of incoming attributes (`overrides` profile): PRIVCFG and INSTCFG before permissions, MTCFG, MemAttr and SHCFG where no stage 1 is.

use hal::{AccessKind, Requester};
use smmu_model::{Fault, Policy, Profile};
use smmu_spec::command::Leaf;

use super::model_bench::*;

const UNPRIVILEGED: u64 = 2 << 48;
const PRIVILEGED: u64 = 3 << 48;
const DATA: u64 = 2 << 50;
const INSTRUCTION: u64 = 3 << 50;
/// MTCFG and MemAttr = outer write-through, inner non-cacheable; SHCFG = outer.
const TYPE: u64 = 1 << 36 | 0x9 << 32 | 2 << 44;
const AS_IT_COMES: u64 = 1 << 44;

const POLICIES: [Policy; 4] = [Policy::AlwaysMiss, Policy::Sticky, Policy::Prefetch, Policy::Random { seed: 7 }];

/// A page that only privileged data accesses may use at 0x1000, one that anybody may execute and nobody unprivileged read at 0x2000.
fn bench(profile: Profile, policy: Policy, dw1: u64) -> Bench {
    let mut b = Bench::new(profile).policy(policy);
    b.set_ste(SID, [STE_S1, STE_DW1 | dw1]);
    b.set_cd(CDTAB, CD);
    b.map(0x1000, 0x5000_0000 | PAGE_RW & !0x40 | 3 << 53);
    b.map(0x2000, 0x5100_0000 | PAGE_RO & !0x40 | 1 << 53);
    b
}

fn access(b: &mut Bench, va: u64, privileged: bool, kind: AccessKind) -> Result<u64, Fault> {
    b.translate_as(Requester { privileged, ..who(SID, None) }, va, kind).map(|t| t.pa.0)
}

#[test]
fn privcfg_decides_privilege_before_permissions_and_in_the_record() {
    for policy in POLICIES {
        for (code, effective) in [(0, [false, true]), (1 << 48, [false, true]), (UNPRIVILEGED, [false, false]), (PRIVILEGED, [true, true])]
        {
            let mut b = bench(Profile::OVERRIDES, policy, code);
            for (sent, is_privileged) in [false, true].into_iter().zip(effective) {
                for kind in [AccessKind::Read, AccessKind::Write] {
                    let expected = if is_privileged { Ok(0x5000_0000) } else { Err(Fault::Abort) };
                    assert_eq!(
                        [access(&mut b, 0x1000, sent, kind), access(&mut b, 0x1000, sent, kind)],
                        [expected; 2],
                        "{policy:?} {code:x}"
                    );
                }
                // PnU tells what the access was taken for.
                let _ = b.events();
                assert!(access(&mut b, 0x9000, sent, AccessKind::Read).is_err());
                assert_eq!(b.event()[1] >> 33 & 1 == 1, is_privileged, "{policy:?} {code:x}");
            }
        }
        // A profile without overrides looks at none of it.
        let mut b = bench(Profile::STALL, policy, PRIVILEGED | INSTRUCTION);
        assert_eq!(access(&mut b, 0x1000, false, AccessKind::Read), Err(Fault::Abort));
        assert_eq!(b.event()[1], 1 << 35 | 2 << 40, "a read of data, unprivileged");
    }
}

#[test]
fn instcfg_makes_reads_instruction_fetches_or_data_and_leaves_writes_alone() {
    use AccessKind::{Execute, Read, Write};
    for policy in POLICIES {
        for (code, effective) in [(0, [Read, Execute]), (1 << 50, [Read, Execute]), (DATA, [Read, Read]), (INSTRUCTION, [Execute, Execute])]
        {
            let mut b = bench(Profile::OVERRIDES, policy, code);
            for (sent, kind) in [Read, Execute].into_iter().zip(effective) {
                // Unprivileged: 0x2000 may be executed and not read.
                let expected = if kind == Execute { Ok(0x5100_0000) } else { Err(Fault::Abort) };
                assert_eq!(access(&mut b, 0x2000, false, sent), expected, "{policy:?} {code:x} {sent:?}");
                let _ = b.events();
                assert!(access(&mut b, 0x9000, false, sent).is_err());
                let [_, dw1, ..] = b.event();
                assert_eq!((dw1 >> 34 & 1 == 1, dw1 >> 35 & 1), (kind == Execute, 1), "InD, RnW");
            }
            assert_eq!(access(&mut b, 0x1000, true, Write), Ok(0x5000_0000), "{code:x}");
            assert!(access(&mut b, 0x9000, true, Write).is_err());
            assert_eq!(b.event()[1], 1 << 33 | 2 << 40, "a write is data whatever INSTCFG says");
        }
    }
}

/// MAIR byte and shareability of an access.
fn memory(b: &mut Bench, ssid: Option<u32>, at: u64) -> (u8, u8) {
    let translated = b.translate_as(who(SID, ssid), at, AccessKind::Read).expect("an address");
    (translated.attributes, translated.shareability)
}

#[test]
fn memory_type_and_shareability_are_replaced_where_no_stage_1_is() {
    const PLAIN: (u8, u8) = (0xff, 3);
    // Write-through outside, non-cacheable inside, outer shareable.
    const REPLACED: (u8, u8) = (0xb4, 2);
    // Stage 2: one block of 1 GiB that leads to itself, write-back, not shareable.
    let root2 = 0x2800_0000;
    let dw2 = 0x040d_0059_0000_0005;
    let stage2 = |b: &mut Bench| {
        let at = STRTAB + 64 * u64::from(SID);
        b.mem.set(at + 16, dw2);
        b.mem.set(at + 24, root2);
        b.mem.set(root2, 0x4fd);
    };
    for policy in POLICIES {
        for (profile, expected) in [(Profile::OVERRIDES, REPLACED), (Profile::STALL, PLAIN)] {
            let mut b = bench(profile, policy, 0);
            // Bypass.
            b.set_ste(SID, [9, TYPE]);
            b.cfgi_ste(SID, Leaf::Only);
            assert_eq!(memory(&mut b, None, 0x7000), expected, "{policy:?}: Config 4");
            b.set_ste(SID, [9, AS_IT_COMES]);
            b.cfgi_ste(SID, Leaf::Only);
            assert_eq!(memory(&mut b, None, 0x7000), PLAIN, "{policy:?}: SHCFG = 1, MTCFG = 0");
            // Stage 1 bypassed by S1DSS; with stage 1 its own attributes count.
            b.set_ste(SID, [STE_S1 | 1 << 59, 0xd5 | TYPE]);
            b.set_cd(CDTAB + 64, CD + (1 << 48));
            b.cfgi_ste(SID, Leaf::Only);
            assert_eq!(memory(&mut b, None, 0x7000), expected, "{policy:?}: S1DSS");
            assert_eq!(
                b.translate_as(Requester { privileged: true, ..who(SID, Some(1)) }, 0x1000, AccessKind::Read).map(|t| t.attributes),
                Ok(0xff)
            );
            // Stage 2 alone, and below a bypassed stage 1: the weaker of both.
            for (config, dw1) in [(0xd, TYPE), (STE_S1 | 4 | 1 << 59, 0xd5 | TYPE)] {
                b.set_ste(SID, [config, dw1]);
                stage2(&mut b);
                b.cfgi_all();
                assert_eq!([memory(&mut b, None, 0x7000), memory(&mut b, None, 0x7000)], [expected; 2], "{policy:?}: stage 2");
            }
        }
    }
}

#[test]
fn gbpa_replaces_memory_type_and_shareability_of_what_passes_a_disabled_smmu() {
    let passes = |profile: Profile, gbpa: u32| {
        let mut b = Bench::reset(profile);
        b.write(0x044, 1 << 31 | gbpa);
        memory(&mut b, None, 0x7000)
    };
    // MTCFG, MemAttr = GRE Device; SHCFG.
    for (shcfg, shareability) in [(0, 0), (1, 3), (2, 2), (3, 3)] {
        let gbpa = shcfg << 12 | 1 << 4 | 3;
        assert_eq!(passes(Profile::OVERRIDES, gbpa), (0xc, shareability), "SHCFG {shcfg}");
        assert_eq!(passes(Profile::STALL, gbpa), (0xff, 3));
    }
    assert_eq!(passes(Profile::OVERRIDES, 2 << 12 | 3), (0xff, 2), "MTCFG = 0: MemAttr is not looked at");
}
