//! Sequences whose order is the contract: bring-up, bind, unbind, invalidation, repair.

use std::{string::String, vec::Vec};

use hal::{Pa, StreamId, SubstreamId, Va};
use smmu_spec::{command::Leaf, descriptor::Granule, id, regs};

use crate::script::{Script, Seen};
use crate::{CommandError, Completion, Config, FaultModel, Refusal, Smmu, SmmuError, TableDescription, TableMemory};

const STREAM: StreamId = StreamId(8);

fn up(id: id::IdRegisters) -> (Script, Smmu<Script, Script, Script>) {
    let script = Script::new(id, false);
    let smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
    script.take();
    (script, smmu)
}

fn table(asid: u16) -> TableDescription {
    TableDescription { ttb0: Pa(0x4000_0000 + u64::from(asid) * 0x1000), t0sz: 16, granule: Granule::Kib4, ips: 5, mair: 0xff, asid }
}

fn commands(script: &Script) -> Vec<String> {
    let name = |text: String| text.split([' ', '(']).next().map(String::from).unwrap_or_default();
    let command = |seen| match seen {
        Seen::Command(text) => Some(name(text)),
        Seen::Write(..) => None,
    };
    script.take().into_iter().filter_map(command).collect()
}

fn writes(script: &Script) -> Vec<(&'static str, u64)> {
    let write = |seen| match seen {
        Seen::Write(name, value) => Some((name, value)),
        Seen::Command(_) => None,
    };
    script.take().into_iter().filter_map(write).collect()
}

#[test]
fn sm_c24_bring_up_writes_in_the_documented_order_with_abort_first() {
    for left_on in [false, true] {
        let script = Script::new(id::STALL, left_on);
        let smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
        assert!(smmu.features().aborts_while_disabled);
        let writes = writes(&script);
        let names: Vec<_> = writes.iter().map(|(name, _)| *name).filter(|n| *n != "SMMU_CMDQ_PROD").collect();
        let cut: Vec<_> = names.iter().map(|n| n.trim_start_matches("SMMU_")).collect();
        assert_eq!(
            cut,
            [
                "GBPA",
                "CR0",
                "IRQ_CTRL",
                "CR1",
                "CR2",
                "STRTAB_BASE",
                "STRTAB_BASE_CFG",
                "GERRORN",
                "CMDQ_BASE",
                "CMDQ_CONS",
                "CR0",
                "EVENTQ_BASE",
                "EVENTQ_PROD",
                "EVENTQ_CONS",
                "CR0",
                "GERROR_IRQ_CFG0",
                "EVENTQ_IRQ_CFG0",
                "IRQ_CTRL",
                "CR0",
            ]
        );
        let value = |name| writes.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect::<Vec<_>>();
        assert_eq!(value("SMMU_GBPA"), [0x8010_0000]);
        assert_eq!(value("SMMU_CR0"), [0, 8, 0xc, 0xd]);
        assert_eq!(value("SMMU_CR1"), [0x0d75]);
        assert_eq!(value("SMMU_CR2"), [2]);
        assert_eq!(value("SMMU_STRTAB_BASE_CFG"), [0x0001_0210]);
        assert_eq!(value("SMMU_GERRORN"), [if left_on { 4 } else { 0 }]);
        assert_eq!(value("SMMU_IRQ_CTRL"), [0, 5]);
    }
}

#[test]
fn sm_c24_the_pri_queue_is_set_up_before_it_is_enabled_and_before_translation() {
    let script = Script::new(id::ATSPRI, true);
    let _smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
    let writes = writes(&script);
    let from = writes.iter().position(|(name, _)| *name == "SMMU_EVENTQ_CONS").expect("the event queue first");
    let cut: Vec<_> = writes[from + 1..].iter().map(|(name, _)| name.trim_start_matches("SMMU_")).collect();
    assert_eq!(
        cut,
        [
            "CR0",
            "PRIQ_BASE",
            "PRIQ_PROD",
            "PRIQ_CONS",
            "CR0",
            "CR0",
            "GERROR_IRQ_CFG0",
            "EVENTQ_IRQ_CFG0",
            "PRIQ_IRQ_CFG0",
            "PRIQ_IRQ_CFG2",
            "IRQ_CTRL",
            "CR0"
        ]
    );
    let value = |name| writes.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v).collect::<Vec<_>>();
    // The queue, then the check of translated traffic, then everything.
    assert_eq!(value("SMMU_CR0"), [0, 8, 0xc, 0xe, 0x1e, 0x1f]);
    assert_eq!((value("SMMU_IRQ_CTRL"), value("SMMU_PRIQ_IRQ_CFG2")), (std::vec![0, 7], std::vec![0]));
    assert_eq!(value("SMMU_PRIQ_BASE")[0] & 0x1f, 6, "64 requests");
}

#[test]
fn sm_i12_a_batch_is_told_of_once_and_a_full_queue_once_more() {
    let mut no_ranges = id::STALL;
    no_ranges.idr3 &= !(1 << 10);
    // A queue of 256 commands: what fits is told of with its CMD_SYNC.
    for (pages, doorbells) in [(1, 1), (5, 1), (255, 1), (256, 2), (300, 2), (512, 3)] {
        let (script, mut smmu) = up(no_ranges);
        smmu.invalidate_range(7, Va(0x10_0000), pages * 0x1000, Leaf::Only).unwrap();
        let seen = script.take();
        let told = seen.iter().filter(|s| matches!(s, Seen::Write("SMMU_CMDQ_PROD", _))).count();
        let done = seen.iter().filter(|s| matches!(s, Seen::Command(_))).count() as u64;
        assert_eq!((told, done), (doorbells, pages + 1), "{pages} pages");
    }
}

#[test]
fn bring_up_invalidates_configuration_before_translations() {
    let script = Script::new(id::STALL, true);
    let _smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
    assert_eq!(commands(&script), ["CfgiSteRange", "Sync", "TlbiEl2All", "TlbiNsnhAll", "Sync"]);
    let script = Script::new(id::QEMU72, true);
    let _smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
    assert_eq!(commands(&script), ["CfgiSteRange", "Sync", "TlbiNsnhAll", "Sync"], "no EL2 world, no EL2 command");
}

#[test]
fn ua_v8_binding_and_unbinding_follow_the_update_rules() {
    let (script, mut smmu) = up(id::STALL);
    let (kernel, user) = (smmu.allocate_asid().unwrap(), smmu.allocate_asid().unwrap());
    smmu.attach(STREAM, &table(kernel), FaultModel::Stall).unwrap();
    assert_eq!(commands(&script), ["CfgiSte", "Sync", "CfgiSte", "Sync", "CfgiSte", "Sync"], "L1STD, then an STE in two steps");
    let substream = smmu.allocate_substream().unwrap();
    smmu.bind(STREAM, substream, &table(user)).unwrap();
    assert_eq!(commands(&script), ["CfgiCd", "Sync", "CfgiCd", "Sync"], "words 1 to 3, then word 0");
    smmu.unbind(STREAM, substream).unwrap();
    let expected = [
        "CfgiCd",
        "Sync", // nobody walks the table any more
        "CfgiCd",
        "TlbiNhAsid",
        "Sync", // quiesced
        "CfgiCd",
        "Sync",
        "CfgiCd",
        "Sync", // gone
    ];
    assert_eq!(commands(&script), expected);
    smmu.free_substream(substream).unwrap();
    smmu.free_asid(user).unwrap();
    assert_eq!(commands(&script), ["TlbiNhAsid", "Sync"]);
    smmu.detach(STREAM).unwrap();
    assert_eq!(commands(&script), ["CfgiSte", "Sync", "CfgiSte", "Sync", "StallTerm", "Sync", "TlbiNhAsid", "Sync"]);
    smmu.shutdown().unwrap();
    assert_eq!(script.live_buffers(), 0);
}

#[test]
fn devices_are_told_after_the_tlb_and_before_their_address_space_is_gone() {
    let (script, mut smmu) = up(id::ATSPRI);
    let (kernel, user, other) = (smmu.allocate_asid().unwrap(), smmu.allocate_asid().unwrap(), smmu.allocate_asid().unwrap());
    smmu.attach(STREAM, &table(kernel), FaultModel::Terminate).unwrap();
    script.take();
    smmu.enable_ats(STREAM, crate::AtsOptions { response_carries_substream: true }).unwrap();
    assert_eq!(commands(&script), ["CfgiSte", "Sync"], "EATS alone: hitless");
    let substream = smmu.allocate_substream().unwrap();
    smmu.bind(STREAM, substream, &table(user)).unwrap();
    script.take();
    smmu.invalidate_range(user, Va(0x7000), 0x1000, Leaf::Only).unwrap();
    assert_eq!(commands(&script), ["TlbiNhVa", "Sync", "AtcInv", "Sync"]);
    smmu.invalidate_asid(user).unwrap();
    assert_eq!(commands(&script), ["TlbiNhAsid", "Sync", "AtcInv", "Sync"]);
    smmu.invalidate_range(other, Va(0x7000), 0x1000, Leaf::Only).unwrap();
    assert_eq!(commands(&script), ["TlbiNhVa", "Sync"], "no device works there");
    smmu.invalidate_all().unwrap();
    assert_eq!(commands(&script), ["TlbiNsnhAll", "Sync", "AtcInv", "Sync", "AtcInv", "Sync"], "two address spaces of one device");
    smmu.unbind(STREAM, substream).unwrap();
    let expected = ["CfgiCd", "Sync", "CfgiCd", "TlbiNhAsid", "Sync", "AtcInv", "Sync", "CfgiCd", "Sync", "CfgiCd", "Sync"];
    assert_eq!(commands(&script), expected);
    smmu.disable_ats(STREAM).unwrap();
    assert_eq!(commands(&script), ["AtcInv", "Sync", "CfgiSte", "Sync"]);
}

#[test]
fn sm_c24_broadcast_maintenance_is_switched_off_where_it_exists() {
    for (btm, cr2) in [(0, 2), (1 << 5, 6)] {
        let script = Script::new(id::IdRegisters { idr0: id::STALL.idr0 & !(1 << 5) | btm, ..id::STALL }, false);
        let _smmu = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).expect("bring-up");
        let written: Vec<_> = writes(&script).into_iter().filter(|(name, _)| *name == "SMMU_CR2").collect();
        assert_eq!(written, [("SMMU_CR2", cr2)]);
    }
}

#[test]
fn a_new_leaf_of_the_context_table_is_announced_before_its_first_context() {
    let (script, mut smmu) = up(id::STALL);
    let (kernel, user) = (smmu.allocate_asid().unwrap(), smmu.allocate_asid().unwrap());
    smmu.attach(STREAM, &table(kernel), FaultModel::Stall).unwrap();
    let far = loop {
        let substream = smmu.allocate_substream().unwrap();
        if substream.0 == 1024 {
            break substream;
        }
    };
    script.take();
    smmu.bind(STREAM, far, &table(user)).unwrap();
    let seen = script.take();
    let first = seen.iter().find(|s| matches!(s, Seen::Command(_)));
    let text = std::format!("{first:?}");
    assert!(text.contains("CfgiCd") && text.contains("AllLevels"), "{text}");
}

#[test]
fn ranges_become_one_command_with_range_invalidation_and_pages_without() {
    let (script, mut smmu) = up(id::STALL);
    smmu.invalidate_range(7, Va(0x40_0000), 0x1000, Leaf::Only).unwrap();
    smmu.invalidate_range(7, Va(0x40_0fff), 2, Leaf::Only).unwrap();
    smmu.invalidate_range(7, Va(0), 1 << 30, Leaf::AllLevels).unwrap();
    smmu.invalidate_range(7, Va(0), 0, Leaf::Only).unwrap();
    let seen: Vec<_> = script.take().into_iter().filter(|s| matches!(s, Seen::Command(_))).collect();
    let text: Vec<_> = seen.iter().map(|s| std::format!("{s:?}")).collect();
    assert_eq!(text.len(), 6);
    assert!(text[0].contains("address: 4194304, leaf: Only, tg: 0, num: 0, scale: 0, ttl: 0"), "{}", text[0]);
    assert!(text[2].contains("address: 4194304, leaf: Only, tg: 1, num: 0, scale: 1"), "two pages: {}", text[2]);
    assert!(text[4].contains("leaf: AllLevels, tg: 1, num: 0, scale: 18"), "{}", text[4]);

    let mut no_ranges = id::STALL;
    no_ranges.idr3 &= !(1 << 10);
    let (script, mut smmu) = up(no_ranges);
    smmu.invalidate_range(7, Va(0x1000), 5 * 0x1000, Leaf::Only).unwrap();
    assert_eq!(commands(&script), ["TlbiNhVa", "TlbiNhVa", "TlbiNhVa", "TlbiNhVa", "TlbiNhVa", "Sync"]);
    smmu.invalidate_range(7, Va(0), 513 * 0x1000, Leaf::Only).unwrap();
    assert_eq!(commands(&script), ["TlbiNhAsid", "Sync"]);
}

#[test]
fn sm_i11_an_illegal_command_is_replaced_reported_and_the_rest_runs() {
    let (script, mut smmu) = up(id::STALL);
    script.refuse_command(0);
    let error = smmu.invalidate_asid(7).unwrap_err();
    let SmmuError::Command(failure) = error else { panic!("{error:?}") };
    assert_eq!((failure.error, failure.command), (CommandError::Illegal, [0x0007_0000_0000_0011, 0]));
    let seen = script.take();
    assert!(seen.contains(&Seen::Write("SMMU_GERRORN", 1)));
    assert_eq!(
        seen.iter().filter(|s| matches!(s, Seen::Command(c) if c.starts_with("Sync"))).count(),
        2,
        "its substitute and the CMD_SYNC"
    );
    smmu.invalidate_asid(7).expect("the queue goes on");
}

#[test]
fn sm_c04_an_acknowledge_that_never_comes_is_an_error_that_names_it() {
    let script = Script::new(id::STALL, false);
    script.be_deaf_to(4);
    let error = Smmu::init(script.clone(), script.clone(), script.clone(), Config::default()).err().unwrap();
    let SmmuError::Timeout(timeout) = error else { panic!("{error:?}") };
    assert_eq!((timeout.register, timeout.wanted, timeout.seen), ("SMMU_CR0ACK", 0xc, 8));
    assert_eq!(script.live_buffers(), 3, "CR0 still differs from its acknowledge: the SMMU may use the memory");
}

#[test]
fn sm_c23_what_cannot_be_served_is_refused_by_name() {
    let refusal = |id: id::IdRegisters, config: Config| {
        let script = Script::new(id, false);
        let error = Smmu::init(script.clone(), script.clone(), script.clone(), config).err();
        let buffers = 3 + (id.idr0 >> 16 & 1);
        assert_eq!(script.live_buffers(), if error.is_some() { 0 } else { buffers });
        assert!(error.is_none() || script.take().is_empty(), "a refused SMMU is left alone");
        error.map(|e| match e {
            SmmuError::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        })
    };
    let standard = Config::default();
    let with0 = |clear: u32, set: u32| id::IdRegisters { idr0: id::STALL.idr0 & !clear | set, ..id::STALL };
    let with1 = |set: u32| id::IdRegisters { idr1: id::STALL.idr1 | set, ..id::STALL };
    assert_eq!(refusal(id::STALL, standard), None);
    assert_eq!(refusal(id::STALL_S1, standard), None);
    assert_eq!(refusal(id::ATSPRI, standard), None);
    assert_eq!(refusal(id::QEMU72, standard), None);
    assert_eq!(refusal(with0(2, 0), standard), Some(Refusal::NoStage1));
    assert_eq!(refusal(with0(0xc, 4), standard), Some(Refusal::NoAarch64Tables));
    assert_eq!(refusal(with0(0, 3 << 21), standard), Some(Refusal::NoLittleEndianTables));
    assert_eq!(refusal(with0(0, 3 << 24), standard), Some(Refusal::ReservedStallModel));
    assert_eq!(refusal(with0(0, 2 << 27), standard), Some(Refusal::ReservedTableLevels));
    assert_eq!(refusal(with1(1 << 28), standard), Some(Refusal::RelativeBases));
    assert_eq!(refusal(with1(1 << 30), standard), Some(Refusal::TablesPreset));
    assert_eq!(refusal(with1(1 << 29), standard), Some(Refusal::QueuesPreset));
    assert_eq!(refusal(id::IdRegisters { aidr: 0x13, ..id::STALL }, standard), Some(Refusal::Architecture(0x13)));
    assert_eq!(refusal(id::MIN, standard), Some(Refusal::NotCoherent));
    assert_eq!(refusal(id::MIN, Config { memory: TableMemory::NonCacheable, ..standard }), None);
    let completes = |completion| Config { completion, ..standard };
    assert_eq!(refusal(with0(1 << 13, 0), completes(Completion::Message)), Some(Refusal::NoMessages));
    assert_eq!(refusal(with0(1 << 14, 0), completes(Completion::Event)), Some(Refusal::NoWakeEvent));
    assert_eq!(refusal(with0(3 << 13, 0), completes(Completion::MessageOrPoll)), None);
    let large = Config { granule: Granule::Kib64, memory: TableMemory::NonCacheable, ..standard };
    assert_eq!(refusal(id::MIN, large), Some(Refusal::NoGranule(Granule::Kib64)));
    assert_eq!(refusal(id::IdRegisters { idr0: 0, idr1: 0, idr3: 0, idr5: 0, iidr: 0, aidr: 0 }, standard), Some(Refusal::NoStage1));
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let (script, mut smmu) = up(id::STALL);
    let asid = smmu.allocate_asid().unwrap();
    let good = table(asid);
    assert_eq!(smmu.attach(StreamId(0x1_0000), &good, FaultModel::Stall), Err(SmmuError::StreamOutOfRange(StreamId(0x1_0000))));
    for (bad, field) in [
        (TableDescription { t0sz: 15, ..good }, crate::TableField::T0sz),
        (TableDescription { t0sz: 40, ..good }, crate::TableField::T0sz),
        (TableDescription { ips: 6, ..good }, crate::TableField::OutputSize),
        (TableDescription { ttb0: Pa(0x4000_0800), ..good }, crate::TableField::Ttb0),
        (TableDescription { ttb0: Pa(1 << 36), ips: 1, ..good }, crate::TableField::Ttb0),
    ] {
        assert_eq!(smmu.attach(STREAM, &bad, FaultModel::Stall), Err(SmmuError::BadTable(field)));
    }
    assert_eq!(smmu.attach(STREAM, &table(99), FaultModel::Stall), Err(SmmuError::AsidInUse(99)), "not handed out");
    assert_eq!(smmu.bind(STREAM, SubstreamId(1), &good), Err(SmmuError::NoSuchStream(STREAM)));
    script.take();
    smmu.attach(STREAM, &good, FaultModel::Terminate).unwrap();
    assert_eq!(smmu.attach(STREAM, &good, FaultModel::Terminate), Err(SmmuError::StreamBusy(STREAM)));
    let s = smmu.allocate_substream().unwrap();
    let other = smmu.allocate_asid().unwrap();
    assert_eq!(smmu.bind(STREAM, SubstreamId(0), &table(other)), Err(SmmuError::SubstreamOutOfRange(SubstreamId(0))));
    let clash = TableDescription { ttb0: Pa(0x5000_0000), ..good };
    assert_eq!(smmu.bind(STREAM, s, &clash), Err(SmmuError::AsidInUse(asid)), "one ASID, one table");
    smmu.bind(STREAM, s, &table(other)).unwrap();
    assert_eq!(smmu.bind(STREAM, s, &table(other)), Err(SmmuError::SubstreamBusy(s)));
    assert_eq!(smmu.free_substream(s), Err(SmmuError::SubstreamBusy(s)));
    assert_eq!(smmu.free_asid(other), Err(SmmuError::AsidInUse(other)));
    assert_eq!(smmu.detach(STREAM), Err(SmmuError::StreamBound(STREAM)));
    assert_eq!(smmu.stall_terminate(STREAM), Err(SmmuError::NotBlocked(STREAM)));
    assert_eq!(smmu.unbind(STREAM, SubstreamId(77)), Err(SmmuError::NotBound(SubstreamId(77))));
}

#[test]
fn sm_i15_a_consumer_index_of_garbage_is_not_followed() {
    for garbage in [0xf_ffff, 0x200, 100] {
        let (script, mut smmu) = up(id::STALL);
        script.set(regs::SMMU_CMDQ_BASE.info, 0x1f_f000); // the scripted queue consumes from nowhere
        script.set(regs::SMMU_CR0.info, 5); // and is off: nothing is consumed
        script.set(regs::SMMU_CMDQ_CONS.info, garbage);
        let error = smmu.invalidate_asid(7).unwrap_err();
        assert_eq!(error, SmmuError::BadIndex { register: "SMMU_CMDQ_CONS", seen: garbage as u32 });
        assert_eq!(smmu.invalidate_asid(7), Err(SmmuError::Dead));
    }
}

#[test]
fn sm_i15_a_sync_that_never_completes_is_an_error_with_indices() {
    let (script, mut smmu) = up(id::STALL);
    script.set(regs::SMMU_CR0.info, 5);
    let error = smmu.invalidate_asid(7).unwrap_err();
    let SmmuError::Timeout(timeout) = error else { panic!("{error:?}") };
    assert_eq!((timeout.register, timeout.wanted, timeout.seen), ("SMMU_CMDQ_CONS", 7, 5));
    assert_eq!(smmu.invalidate_all(), Err(SmmuError::Dead));
}

#[test]
fn sm_i17_service_failure_switches_the_smmu_off() {
    let (script, mut smmu) = up(id::STALL);
    script.set(regs::SMMU_GERROR.info, 1 << 8);
    let errors = smmu.handle_global_error().unwrap();
    assert!(errors.is_fatal() && !errors.lost_events());
    let names: Vec<_> = writes(&script);
    assert_eq!(names, [("SMMU_GBPA", 0x8010_0000), ("SMMU_CR0", 0), ("SMMU_IRQ_CTRL", 0), ("SMMU_GERRORN", 1 << 8)]);
    assert_eq!(smmu.invalidate_all(), Err(SmmuError::Dead));
}
