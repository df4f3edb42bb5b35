//! Devices that fault without end, queues whose memory fails, an SMMU that gives up.

use std::time::Duration;

use hal::{Pa, RegisterWindow, Requester, StreamId, Verdict};
use smmu_driver::{AtsOptions, Config, Event, FaultModel, PageAnswer, PageEvent, PageGroup, ReportLimit, SmmuError};
use smmu_model::{Fault, Profile};
use smmu_spec::regs::{self, GERROR};

use super::driver_machine::{Attached, Right, STREAM, Tables, kernel, user};
use super::driver_runs::on_every;
use crate::support::Fault as Misbehaviour;

const OTHER: StreamId = StreamId(0x110);

fn other() -> Requester {
    Requester { stream: OTHER, ..kernel() }
}

fn attach_other(bench: &mut Attached, faults: FaultModel) -> Tables {
    let table = Tables::new(&bench.machine, &mut bench.driver);
    bench.driver.attach(OTHER, &table.description(), faults).unwrap();
    table
}

#[test]
fn sm_f13_a_flood_of_one_stream_costs_few_reports_and_hides_no_other() {
    on_every(|run| {
        let limit = ReportLimit { burst: 20, period: Duration::from_millis(100) };
        let config = Config { reports: limit, event_queue_log2: 7, ..Config::default() };
        let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
        let _table = attach_other(&mut bench, FaultModel::Terminate);
        let stray = StreamId(0x4000);
        const FLOOD: u64 = 10_000;
        let (mut reports, mut suppressed, mut others, mut strays, mut largest) = (0_u64, 0_u64, 0_u64, 0_u64, 0_usize);
        let started = bench.machine.clock.micros();
        for i in 0..FLOOD {
            assert_eq!(bench.machine.read(kernel(), 0x10_0000 + (i % 512) * 0x1000), Err(Fault::Abort));
            if i % 1000 == 500 {
                assert_eq!(bench.machine.read(other(), 0x7000), Err(Fault::Abort));
                assert_eq!(bench.machine.read(Requester { stream: stray, ..kernel() }, 0x7000), Err(Fault::Abort));
            }
            if i % 64 == 63 || i == FLOOD - 1 {
                let events = bench.machine.events(&mut bench.driver);
                largest = largest.max(events.len());
                for event in events {
                    match event {
                        Event::Fault(fault) if fault.stream == OTHER => others += 1,
                        Event::Fault(fault) => {
                            assert_eq!(fault.stream, STREAM);
                            reports += 1;
                        }
                        Event::Suppressed { stream: Some(STREAM), records } => suppressed += records,
                        Event::Other(record) => {
                            assert_eq!(record.stream(), stray);
                            strays += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        let periods = (bench.machine.clock.micros() - started) / 100_000 + 1;
        assert_eq!((others, strays), (FLOOD / 1000, FLOOD / 1000), "who behaves is heard");
        assert!(reports <= 20 * periods, "{reports} reports in {periods} periods");
        assert!(largest < 64, "{largest} events at a time");
        // The last ones are counted once their period is over, or their stream is gone.
        bench.machine.clock.advance(200_000);
        for event in bench.machine.events(&mut bench.driver) {
            let Event::Suppressed { stream: Some(STREAM), records } = event else { panic!("{event:?}") };
            suppressed += records;
        }
        assert_eq!(reports + suppressed, FLOOD, "every record was reported or counted");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f13_what_a_stream_that_is_gone_was_not_told_of_is_still_counted() {
    on_every(|run| {
        let limit = ReportLimit { burst: 1, period: Duration::from_secs(1000) };
        let config = Config { reports: limit, ..Config::default() };
        let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
        let _table = attach_other(&mut bench, FaultModel::Terminate);
        for i in 0..10 {
            assert_eq!(bench.machine.read(other(), i * 0x1000), Err(Fault::Abort));
        }
        assert!(matches!(bench.machine.events(&mut bench.driver)[..], [Event::Fault(_)]));
        bench.driver.detach(OTHER).unwrap();
        assert_eq!(bench.machine.events(&mut bench.driver), [Event::Suppressed { stream: None, records: 9 }]);
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_f12_a_stall_flood_in_a_queue_of_16_loses_no_fault_and_stops_nobody() {
    on_every(|run| {
        let config = Config { event_queue_log2: 4, ..Config::default() };
        let mut bench = run.attached_with(Profile::STALL_S1, config, FaultModel::Stall);
        let _table = attach_other(&mut bench, FaultModel::Terminate);
        let (process, mut tables) = bench.process();
        let (calm, mut calm_tables) = bench.process();
        calm_tables.map(0x5000, bench.machine.page(70, 0xca), Right::ReadWrite);
        let mut random = run.rng();
        let mut wanted: Vec<u64> = (0..200).map(|i| 0x10_0000 + i * 0x1000).collect();
        let mut served = 0;
        let mut rounds = 0;
        while !wanted.is_empty() {
            rounds += 1;
            assert!(rounds < 500, "{} accesses never completed", wanted.len());
            // Every access that has not completed is tried; of those that stall the SMMU reports what it has room for.
            wanted.retain(|va| match bench.machine.read(user(process), *va) {
                Ok(_) => false,
                Err(Fault::Stalled(_)) => true,
                Err(other) => panic!("{other:?}"),
            });
            // Terminated accesses fill the queue and overflow it.
            for i in 0..random.below(40) {
                assert_eq!(bench.machine.read(other(), 0x100_0000 + i * 0x1000), Err(Fault::Abort));
            }
            assert_eq!(bench.machine.read(user(calm), 0x5000), Ok(0xca), "others progress");
            bench.machine.dma.take_interrupt();
            for _ in 0..random.below(24) {
                let Some(event) = bench.driver.next_event().unwrap() else { break };
                if let Event::Fault(fault) = event
                    && let Some(ticket) = fault.stall
                {
                    assert_eq!((fault.stream, fault.substream), (STREAM, Some(process)));
                    tables.map(fault.address.0, bench.machine.page(served % 64, served), Right::ReadWrite);
                    served += 1;
                    bench.driver.resume(ticket, Verdict::Retry).unwrap();
                }
            }
            bench.machine.take_resumed();
        }
        assert_eq!(served, 200, "one fault per page, each answered once");
        assert_eq!((bench.driver.pending_stalls(), bench.machine.violations()), (0, vec![]));
    });
}

#[test]
fn sm_f15_losing_the_event_queue_leaves_no_transaction_stalled() {
    on_every(|run| {
        let mut bench = run.attached();
        let _table = attach_other(&mut bench, FaultModel::Stall);
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 7), Right::ReadWrite);
        assert!(matches!(bench.machine.read(user(process), 0x8000), Err(Fault::Stalled(_))));
        let known = bench.machine.events(&mut bench.driver);
        let [Event::Fault(fault)] = known[..] else { panic!("{known:?}") };
        let base = regs::SMMU_EVENTQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        bench.machine.memory.hide_from_devices(Pa(base), 4096, true);
        // Two stalls whose records cannot be written.
        for va in [0x9000, 0xa000] {
            assert!(matches!(bench.machine.read(user(process), va), Err(Fault::Stalled(_))));
        }
        bench.machine.memory.hide_from_devices(Pa(base), 4096, false);
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.lost_events());
        assert_eq!(errors.recovery, Ok(()));
        let ended = bench.machine.take_resumed();
        assert_eq!(ended.len(), 3, "{ended:?}");
        assert!(ended.iter().all(|(_, verdict)| *verdict == Verdict::Abort));
        assert_eq!(bench.driver.resume(fault.stall.unwrap(), Verdict::Retry), Err(SmmuError::UnknownStall));
        for event in bench.machine.events(&mut bench.driver) {
            assert!(matches!(event, Event::Fault(fault) if fault.stall.is_none()), "{event:?}");
        }
        // The stream goes on, and so does the queue.
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(7));
        assert!(matches!(bench.machine.read(user(process), 0x9000), Err(Fault::Stalled(_))));
        assert_eq!(bench.machine.events(&mut bench.driver).len(), 1);
        assert_eq!(bench.machine.violations(), []);
    });
}

fn with_ats(run: super::driver_runs::Run) -> Attached {
    let mut bench = run.attached_with(Profile::ATSPRI, Config::default(), FaultModel::Terminate);
    bench.driver.enable_ats(STREAM, AtsOptions { response_carries_substream: true }).expect("ATS can be enabled");
    bench
}

#[test]
fn sm_f15_losing_the_pri_queue_is_told_to_who_reads_it() {
    on_every(|run| {
        let mut bench = with_ats(run);
        let (process, mut tables) = bench.process();
        let base = regs::SMMU_PRIQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        bench.machine.memory.hide_from_devices(Pa(base), 1024, true);
        let refused = bench.machine.read_by_ats(user(process), 0x7000);
        assert!(refused.is_err(), "{refused:?}");
        bench.machine.memory.hide_from_devices(Pa(base), 1024, false);
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.lost_page_requests() && errors.recovery.is_ok());
        bench.machine.dma.take_interrupt();
        assert_eq!(bench.driver.next_page_event(), Ok(Some(PageEvent::RequestsLost)));
        assert_eq!(bench.driver.next_page_event(), Ok(None));
        tables.map(0x7000, bench.machine.page(0, 7), Right::ReadWrite);
        assert_eq!(bench.machine.read_by_ats(user(process), 0x7000), Ok(7));
    });
}

#[test]
fn sm_f10_a_group_with_one_bad_page_gets_one_answer_and_that_is_a_refusal() {
    on_every(|run| {
        let mut bench = with_ats(run);
        let (process, _tables) = bench.process();
        let request = |page: u64, last| smmu_driver::PageRequest {
            stream: STREAM,
            substream: Some(process),
            address: page << 12,
            prg_index: 7,
            read: true,
            write: false,
            execute: false,
            privileged: false,
            last,
        };
        for (page, last) in [(1, false), (2, false), (3, false), (4, true)] {
            bench.machine.model.device().request_page(request(page, last));
        }
        bench.machine.dma.take_interrupt();
        let mut is_bad = false;
        let mut answers = 0;
        while let Some(event) = bench.driver.next_page_event().unwrap() {
            let PageEvent::Request(asked) = event else { panic!("{event:?}") };
            // The second page is outside of every mapping.
            is_bad |= asked.address == 0x2000;
            if asked.last {
                let group = PageGroup { stream: STREAM, substream: asked.substream, prg_index: asked.prg_index };
                let answer = if is_bad { PageAnswer::Invalid } else { PageAnswer::Success };
                bench.driver.respond(group, answer).unwrap();
                assert_eq!(bench.driver.respond(group, PageAnswer::Success), Err(SmmuError::UnknownGroup), "no second answer");
                answers += 1;
            }
        }
        assert!(is_bad && answers == 1);
        assert_eq!(bench.machine.model.device().model.counters().page_requests, 4);
    });
}

#[test]
fn sm_f17_without_pri_there_is_no_queue_and_no_page_request() {
    on_every(|run| {
        let mut bench = run.attached();
        assert_eq!(regs::SMMU_PRIQ_BASE.get(&bench.machine.model), 0);
        assert_eq!(bench.machine.model.read32(regs::SMMU_CR0.offset()) & 2, 0, "PRIQEN");
        assert_eq!(bench.driver.next_page_event(), Ok(None));
        let group = PageGroup { stream: STREAM, substream: None, prg_index: 0 };
        assert_eq!(bench.driver.respond(group, PageAnswer::Success), Err(SmmuError::UnknownGroup));
        let (process, _tables) = bench.process();
        assert!(matches!(bench.machine.read(user(process), 0x7000), Err(Fault::Stalled(_))), "faults stall instead");
        assert_eq!(bench.machine.violations(), []);
    });
}

#[test]
fn sm_i16_an_error_that_comes_while_another_is_acknowledged_stays_active() {
    on_every(|run| {
        let mut bench = run.attached();
        let base = regs::SMMU_EVENTQ_BASE.get(&bench.machine.model) & 0x00ff_ffff_ffff_ffe0;
        bench.machine.memory.hide_from_devices(Pa(base), 4096, true);
        assert_eq!(bench.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        bench.machine.memory.hide_from_devices(Pa(base), 4096, false);
        // The handler reads GERROR a moment before the error: what it has not seen it must not acknowledge.
        let active = |bench: &Attached| regs::SMMU_GERROR.get(&bench.machine.model) ^ regs::SMMU_GERRORN.get(&bench.machine.model);
        let old = regs::SMMU_GERRORN.get(&bench.machine.model);
        bench.machine.window.inject(Misbehaviour::ReadOnce { offset: regs::SMMU_GERROR.offset(), nth: 0, value: u64::from(old) });
        assert_eq!(bench.driver.handle_global_error().unwrap().active.get(), 0);
        assert_eq!(active(&bench), GERROR::EVENTQ_ABT_ERR::SET.value);
        assert!(bench.driver.handle_global_error().unwrap().lost_events());
        assert_eq!((active(&bench), bench.machine.violations()), (0, vec![]));
        // The second of a kind toggles the other way.
        bench.machine.memory.hide_from_devices(Pa(base), 4096, true);
        assert_eq!(bench.machine.read(kernel(), 0x7000), Err(Fault::Abort));
        assert!(bench.driver.handle_global_error().unwrap().lost_events());
        assert_eq!((active(&bench), bench.machine.violations()), (0, vec![]));
    });
}

#[test]
fn sm_i17_an_smmu_that_gives_up_is_switched_off_and_lets_nothing_pass() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 7), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(7));
        assert!(matches!(bench.machine.read(user(process), 0x8000), Err(Fault::Stalled(_))));
        let gerror = regs::SMMU_GERROR.get(&bench.machine.model) ^ GERROR::SFM_ERR::SET.value;
        bench.machine.window.inject(Misbehaviour::Stuck { offset: regs::SMMU_GERROR.offset(), value: u64::from(gerror) });
        let errors = bench.driver.handle_global_error().unwrap();
        assert!(errors.is_fatal() && !errors.lost_events());
        for who in [user(process), kernel()] {
            assert_eq!(bench.machine.read(who, 0x7000), Err(Fault::Abort));
        }
        assert!(matches!(bench.machine.take_resumed()[..], [(_, Verdict::Abort)]), "the stalled transaction has ended");
        assert_eq!(bench.driver.invalidate_all(), Err(SmmuError::Dead));
        assert_eq!(bench.driver.unbind(STREAM, process), Err(SmmuError::Dead), "nothing may be reused");
        bench.driver.shutdown().expect("memory comes back");
    });
}

#[test]
fn sm_i15_a_sync_that_never_completes_is_an_error_and_unmap_does_not_succeed() {
    on_every(|run| {
        let mut bench = run.attached();
        let (process, mut tables) = bench.process();
        tables.map(0x7000, bench.machine.page(0, 7), Right::ReadWrite);
        assert_eq!(bench.machine.read(user(process), 0x7000), Ok(7));
        bench.machine.window.inject(Misbehaviour::WritesLost { offset: regs::SMMU_CMDQ_PROD.offset() });
        tables.store(0x7000, 0);
        let before = bench.machine.clock.micros();
        let error = bench.driver.invalidate_range(tables.asid, hal::Va(0x7000), 0x1000, smmu_driver::Leaf::Only).unwrap_err();
        let SmmuError::Timeout(timeout) = error else { panic!("{error:?}") };
        assert_eq!(timeout.register, "SMMU_CMDQ_CONS");
        assert_ne!(timeout.wanted, timeout.seen);
        assert!(bench.machine.clock.micros() - before < 2_000_000);
        assert_eq!(bench.driver.unbind(STREAM, process), Err(SmmuError::Dead));
    });
}
