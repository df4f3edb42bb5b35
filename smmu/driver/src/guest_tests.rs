//! Sequences of streams that change their way and of guests: exactly the CFGI, TLBI and CMD_SYNC that the architecture needs, in its order.

use std::{string::String, vec::Vec};

use hal::{Ipa, Pa, StreamId};
use smmu_spec::{
    command::{Leaf, Operation, SyncSignal, TlbiRange},
    descriptor::Granule,
    id,
};

use crate::script::{Script, Seen};
use crate::{CdShape, Completion, Config, FaultModel, GuestContexts, Smmu, Stage2Description, TableDescription, Untagged};

const STREAM: StreamId = StreamId(8);

fn up(id: id::IdRegisters, config: Config) -> (Script, Smmu<Script, Script, Script>) {
    let script = Script::new(id, false);
    let smmu = Smmu::init(script.clone(), script.clone(), script.clone(), config).expect("bring-up");
    script.take();
    (script, smmu)
}

fn commands(script: &Script) -> Vec<String> {
    let command = |seen| match seen {
        Seen::Command(text) => text.split([' ', '(']).next().map(String::from),
        Seen::Write(..) => None,
    };
    script.take().into_iter().filter_map(command).collect()
}

fn stage2(vmid: u16) -> Stage2Description {
    Stage2Description { ttb: Pa(0x5000_0000), t0sz: 25, start_level: 1, granule: Granule::Kib4, ps: 4, vmid }
}

fn contexts() -> GuestContexts {
    GuestContexts { pointer: Ipa(0x8000_0000), shape: CdShape::Linear, substream_bits: 4, untagged: Untagged::Table, may_stall: true }
}

const STE_CHANGE: [&str; 2] = ["CfgiSte", "Sync"];

#[test]
fn a_stream_changes_its_way_by_as_few_commands_as_the_update_rules_need() {
    let (script, mut smmu) = up(id::STALL, Config::default());
    let asid = smmu.allocate_asid().unwrap();
    let table = TableDescription { ttb0: Pa(0x4000_0000), t0sz: 16, granule: Granule::Kib4, ips: 5, mair: 0xff, asid };
    smmu.attach_abort(STREAM).unwrap();
    assert_eq!(commands(&script), STE_CHANGE, "the array of entries: they abort already");
    smmu.attach_bypass(STREAM).unwrap();
    assert_eq!(commands(&script), STE_CHANGE.repeat(2));
    smmu.attach(STREAM, &table, FaultModel::Stall).unwrap();
    assert_eq!(commands(&script), STE_CHANGE.repeat(3), "unused words, the word that decides, what is unused now");
    smmu.set_untagged(STREAM, Untagged::Abort).unwrap();
    assert_eq!(commands(&script), STE_CHANGE, "one word");
    smmu.set_untagged(STREAM, Untagged::Abort).unwrap();
    assert_eq!(commands(&script), [""; 0], "nothing changes");
}

#[test]
fn stage_2_is_invalidated_before_what_stands_on_it_and_dropped_with_its_stream() {
    let (script, mut smmu) = up(id::STALL, Config::default());
    let vmid = smmu.allocate_vmid().unwrap();
    smmu.attach_nested(STREAM, &stage2(vmid), &contexts(), FaultModel::Terminate).unwrap();
    assert_eq!(commands(&script), STE_CHANGE.repeat(3), "L1STD, then the entry in two steps");
    smmu.invalidate_ipa(vmid, Ipa(0x7000), 0x1000, Leaf::Only).unwrap();
    assert_eq!(commands(&script), ["TlbiS2Ipa", "Sync", "TlbiNhAll", "Sync"]);
    smmu.replace_guest_contexts(STREAM, Some(&GuestContexts { untagged: Untagged::Abort, ..contexts() })).unwrap();
    assert_eq!(commands(&script), ["CfgiSte", "Sync", "TlbiNhAll", "Sync"]);
    smmu.execute_for_guest(
        vmid,
        &[
            Operation::TlbiNhVaa { vmid: 99, range: TlbiRange::single(0x7000, Leaf::Only) },
            Operation::Sync(SyncSignal::Sev),
            Operation::CfgiCdAll { stream: STREAM },
        ],
    )
    .unwrap();
    let seen: Vec<_> = script.take().into_iter().filter(|s| matches!(s, Seen::Command(_))).map(|s| std::format!("{s:?}")).collect();
    assert_eq!(seen.len(), 4);
    assert!(seen[0].contains(&std::format!("TlbiNhVaa {{ vmid: {vmid},")), "{}", seen[0]);
    assert!(seen[1].contains("Sync(None)") && seen[2].contains("CfgiCdAll") && seen[3].contains("Sync(None)"), "{seen:?}");
    smmu.detach(STREAM).unwrap();
    let expected = ["CfgiSte", "Sync", "CfgiSte", "Sync", "StallTerm", "Sync", "TlbiS12Vmall", "Sync"];
    assert_eq!(commands(&script), expected);
    smmu.free_vmid(vmid).unwrap();
    assert_eq!(commands(&script), ["TlbiS12Vmall", "Sync"]);
    smmu.shutdown().unwrap();
    assert_eq!(script.live_buffers(), 0);
}

#[test]
fn sm_i08_cmd_sync_asks_for_the_signal_that_was_chosen() {
    let last = |script: &Script| script.take().into_iter().rev().find(|s| matches!(s, Seen::Command(_))).map(|s| std::format!("{s:?}"));
    for (completion, text) in [
        (Completion::Poll, "Sync(None)"),
        (Completion::Event, "Sync(Sev)"),
        (Completion::Interrupt, "Sync(Irq { address: 0, data: 0, shareability: 0, attributes: 0 })"),
    ] {
        let (script, mut smmu) = up(id::STALL, Config { completion, ..Config::default() });
        smmu.invalidate_asid(7).unwrap();
        assert!(last(&script).expect("a command").contains(text), "{completion:?}");
    }
    // This SMMU sends no message: the register is asked in the end, and from then on.
    let script = Script::new(id::STALL, false);
    let config = Config { completion: Completion::Message, ..Config::default() };
    let mut smmu = Smmu::init(script.clone(), script.clone(), script.clone(), config).expect("bring-up");
    let text: Vec<_> = script.take().into_iter().filter(|s| matches!(s, Seen::Command(_))).map(|s| std::format!("{s:?}")).collect();
    assert!(text[1].contains("data: 1, shareability: 3, attributes: 15"), "{}", text[1]);
    assert!(text[text.len() - 1].contains("Sync(None)"), "{text:?}");
    smmu.invalidate_asid(7).unwrap();
    assert!(last(&script).expect("a command").contains("Sync(None)"));
    smmu.shutdown().unwrap();
    assert_eq!(script.live_buffers(), 0);
}
