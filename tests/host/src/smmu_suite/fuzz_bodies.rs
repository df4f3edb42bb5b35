//! What the fuzzers run, and the plain tests too: bytes in, no panic and no broken invariant.

use hal::AccessKind;
use smmu_model::{Fault, Policy, Profile};
use smmu_spec::command::Command;
use smmu_spec::event::EventRecord;
use smmu_spec::pri::PageRequest;

use super::model_bench::*;
use super::reference::{Mode, round};
use super::rng::{Draw, Rng};

/// Draws from bytes; behind their end from a generator that they seed.
pub struct Bytes<'a> {
    left: &'a [u8],
    then: Rng,
}

impl<'a> Bytes<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        let seed = data.iter().fold(1, |seed: u64, byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte));
        Self { left: data, then: Rng(seed | 1) }
    }
}

impl Draw for Bytes<'_> {
    fn next(&mut self) -> u64 {
        match self.left.split_first_chunk() {
            Some((word, rest)) => {
                self.left = rest;
                u64::from_le_bytes(*word)
            }
            None => self.then.next(),
        }
    }
}

const POLICIES: [Policy; 4] = [Policy::AlwaysMiss, Policy::Sticky, Policy::Prefetch, Policy::Random { seed: 7 }];

/// The walk equals the naive walker's, whatever stands in the tables.
pub fn walk(data: &[u8]) {
    let [mode, policy, data @ ..] = data else { return };
    let mode = [Mode::Stage1, Mode::Stage2, Mode::Nested][usize::from(mode % 3)];
    let policy = POLICIES[usize::from(policy % 4)];
    round(mode, &mut Bytes::new(data), 20, policy, &mut [0; 12]);
}

/// Decoding what was encoded gives what was decoded; any STE and any CD end a transaction in one of the ways that there are.
pub fn decoders(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let words = [bytes.next(), bytes.next(), bytes.next(), bytes.next()];
    let operation = Command([words[0], words[1]]).decode();
    let again = Command::from(operation);
    assert_eq!(again.decode(), operation, "{:x?}", again.0);
    let request = PageRequest::decode([words[2], words[3]]);
    assert_eq!(PageRequest::decode(request.encode()), request);
    event(EventRecord(words));
    structures(&mut bytes);
}

fn event(record: EventRecord) {
    let built = EventRecord::new(record.id(), record.stream())
        .with_substream(record.substream())
        .with_access(record.is_read(), record.is_instruction(), record.is_privileged())
        .with_input_address(record.input_address());
    let fields =
        |r: &EventRecord| (r.id(), r.stream(), r.substream(), r.is_read(), r.is_instruction(), r.is_privileged(), r.input_address());
    // Two records carry no SSV, and writes no InD.
    if built.substream() == record.substream() && built.is_instruction() == record.is_instruction() {
        assert_eq!(fields(&built), fields(&record));
    }
    if let Some(class) = record.class() {
        assert_eq!(built.with_class(class).class(), Some(class));
    }
    assert_eq!(built.with_fetch_address(record.fetch_address()).fetch_address(), record.fetch_address());
    assert_eq!(built.with_ipa(record.ipa()).ipa(), record.ipa());
    if let Some(tag) = record.stall() {
        assert_eq!(built.with_stall(tag.stag).stall(), Some(tag));
    }
}

/// How the first and the second of two equal transactions end, and the records of the first.
fn outcome(
    profile: Profile,
    policy: Policy,
    ste: &[u64; 8],
    cd: &[u64; 8],
    ssid: Option<u32>,
    va: u64,
) -> (Result<u64, Fault>, Vec<[u64; 4]>) {
    let mut b = Bench::new(profile).policy(policy);
    for (i, word) in ste.iter().enumerate() {
        b.mem.set(STRTAB + 64 * u64::from(SID) + 8 * i as u64, *word);
    }
    for (i, word) in cd.iter().enumerate() {
        b.mem.set(CDTAB + 8 * i as u64, *word);
    }
    b.map(va & 0xffff_f000, 0x5000_0000 | PAGE_RW);
    let result = b.translate_as(who(SID, ssid), va, AccessKind::Read).map(|t| t.pa.0);
    let events: Vec<_> = b.events().iter().map(|r| r.0).collect();
    if !matches!(result, Err(Fault::Stalled(_))) {
        let again = b.translate_as(who(SID, ssid), va, AccessKind::Read).map(|t| t.pa.0);
        assert_eq!(again, result, "{policy:?}: nothing changed");
    }
    (result, events)
}

fn structures(bytes: &mut Bytes<'_>) {
    let profile = Profile::ALL[bytes.below(6) as usize];
    // Valid ones, each with some random bits.
    let mut ste = [STE_S1 & !0xe | (4 + bytes.below(4)) << 1, STE_DW1, 0x040d_3558_0000_0000, ROOT, 0, 0, 0, 0];
    let mut cd = [CD, ROOT, 0, 0xff, 0, 0, 0, 0];
    for word in ste.iter_mut().chain(&mut cd) {
        let noise = bytes.next();
        match bytes.below(6) {
            0 => *word = noise,
            1 => *word ^= 1 << (noise & 63),
            2 => *word ^= 1 << (noise & 63) | 1 << (noise >> 6 & 63),
            _ => {}
        }
    }
    let ssid = if bytes.below(3) == 0 { Some(bytes.below(4) as u32) } else { None };
    let va = if bytes.below(4) == 0 { bytes.next() } else { 0x1234 };
    let (result, events) = outcome(profile, Policy::AlwaysMiss, &ste, &cd, ssid, va);
    let ids: Vec<u8> = events.iter().map(|r| r[0] as u8).collect();
    assert_eq!(outcome(profile, Policy::Sticky, &ste, &cd, ssid, va), (result, events.clone()), "caches change no first answer");
    assert!(ids.len() <= 1, "{ids:x?}");
    match (ste[0] & 1, ste[0] >> 1 & 7) {
        (0, _) => assert_eq!((result, &ids[..]), (Err(Fault::Abort), &[0x04][..])),
        (_, 0..=3) => assert_eq!((result, &ids[..]), (Err(Fault::Abort), &[][..])),
        (_, 4) if ssid.is_some() => assert_eq!((result, &ids[..]), (Err(Fault::Abort), &[0x08][..])),
        (_, 4) if ids.is_empty() => assert_eq!(result, Ok(va)),
        (_, 4) => assert_eq!((result, &ids[..]), (Err(Fault::Abort), &[0x11][..])),
        _ => {
            let known = [0x04, 0x06, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13];
            assert!(ids.iter().all(|id| known.contains(id)), "{ids:x?}");
            assert!(result.is_err() || ids.is_empty(), "{result:x?} {ids:x?}");
            let stalled = matches!(result, Err(Fault::Stalled(_)));
            assert!(events.iter().all(|r| (r[1] >> 31 & 1 == 1) == stalled), "{events:x?}");
            assert!(!stalled || ids.iter().all(|id| (0x10..=0x13).contains(id)));
        }
    }
}

/// The rules of the commands, from their table and the identification registers.
pub fn is_illegal(profile: &Profile, [dw0, dw1]: [u64; 2]) -> bool {
    let (idr0, idr3) = (profile.ids.idr0, profile.ids.idr3);
    let has = |bit: u32| idr0 >> bit & 1 == 1;
    let (stage1, stage2, hyp, ats, pri) = (has(1), has(0), has(9), has(10), has(16));
    let may_stall = idr0 >> 24 & 3 != 1;
    let range = || {
        let (tg, ttl, num, scale) = (dw1 >> 10 & 3, dw1 >> 8 & 3, dw0 >> 12 & 0x1f, dw0 >> 20 & 0x3f);
        if idr3 >> 10 & 1 == 0 {
            return (tg | ttl | num | scale) != 0;
        }
        let ttl = if tg == 2 && ttl == 1 { 0 } else { ttl };
        tg != 0 && (ttl | num | scale) == 0
    };
    dw0 >> 10 & 1 == 1
        || match dw0 as u8 {
            0x01..=0x04 | 0x30 => false,
            0x05 | 0x06 | 0x10 | 0x11 => !stage1,
            0x12 | 0x13 => !stage1 || range(),
            0x20 | 0x21 => !hyp,
            0x22 | 0x23 => !hyp || range(),
            0x28 => !stage2,
            0x2a => !stage2 || range(),
            0x40 => !ats || dw1 & 0x3f > 52,
            0x41 => !pri || dw1 >> 12 & 3 == 3,
            0x44 | 0x45 => !may_stall,
            0x46 => dw0 >> 12 & 3 == 3,
            _ => true,
        }
}

/// Commands of random bits: the queue never hangs, and stops at exactly the command that it must stop at.
pub fn commands(data: &[u8]) {
    const OPCODES: [u8; 24] = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41, 0x44, 0x45, 0x46,
        0x46, 0x46,
    ];
    let mut bytes = Bytes::new(data);
    let profile = Profile::ALL[bytes.below(6) as usize];
    let mut b = Bench::new(profile).policy(POLICIES[bytes.below(4) as usize]);
    b.set_ste(SID, [STE_S1, STE_DW1]);
    b.set_cd(CDTAB, CD);
    b.map(0x1000, 0x5000_0000 | PAGE_RW);
    let mut endpoint_failed = false;
    for _ in 0..12 {
        let at = b.cmd_prod();
        let batch: Vec<[u64; 2]> = (0..1 + bytes.below(7))
            .map(|_| {
                let (dw0, dw1) = (bytes.next(), bytes.next());
                let opcode = if bytes.below(8) == 0 { dw0 as u8 } else { OPCODES[(dw0 & 0xff) as usize % OPCODES.len()] };
                // A message would be written over what the test compares.
                let dw1 = if opcode == 0x46 { 0 } else { dw1 };
                let secure = if bytes.below(16) == 0 { 0 } else { 1 << 10 };
                [dw0 & !0xff & !secure | u64::from(opcode), dw1]
            })
            .collect();
        batch.iter().for_each(|words| b.push(*words));
        b.kick();
        let mut next = 0;
        loop {
            while let Some(invalidation) = b.model.take_atc_invalidation() {
                b.model.finish_atc_invalidation(invalidation.address >> 12 & 1 == 0, &mut b.mem, &mut b.irq);
            }
            while b.model.take_page_response().is_some() {}
            b.resumed();
            // Where it must have stopped by now.
            let mut stop = None;
            for (i, words) in batch.iter().enumerate().skip(next) {
                if is_illegal(&profile, *words) {
                    stop = Some((i, 1));
                } else if words[0] as u8 == 0x46 && endpoint_failed {
                    (stop, endpoint_failed) = (Some((i, 3)), false);
                } else if words[0] as u8 == 0x40 {
                    endpoint_failed |= words[1] >> 12 & 1 == 1;
                }
                if stop.is_some() {
                    break;
                }
            }
            let cons = b.read(0x09c) & 0xf_ffff;
            let Some((i, reason)) = stop else {
                assert_eq!((cons, b.command_error().1), (b.cmd_prod(), false), "{profile:x?} {batch:x?}: all are done");
                break;
            };
            let place = (at + i as u32) & 15;
            assert_eq!((cons, b.command_error()), (place, (reason, true)), "{profile:x?} {batch:x?}");
            // An acknowledgement without repair raises it again, unless it was the CMD_SYNC's.
            let gerror = b.read(0x060);
            if reason == 1 {
                b.write(0x064, gerror);
                assert_eq!(b.command_error(), (1, true));
                b.mem.set(CMDQ + 16 * u64::from(place & 7), 0x30);
                b.mem.set(CMDQ + 16 * u64::from(place & 7) + 8, 0);
                next = i + 1;
            } else {
                next = i;
            }
            let gerror = b.read(0x060);
            b.write(0x064, gerror);
        }
        let _ = b.read_at(0x1000 + (bytes.next() & 0x1fff));
        let _ = b.write_at(bytes.next());
        b.events();
    }
}
