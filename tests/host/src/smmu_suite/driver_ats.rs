//! ATS and PRI: the driver and a device that keeps translations and asks for pages.

use hal::{StallTag, SubstreamId, Verdict};
use smmu_driver::{AtsOptions, CommandError, Config, FaultModel, PageAnswer, PageEvent, PageGroup, PageRequest, SmmuError};
use smmu_model::{Fault, Profile};

use super::driver_machine::*;
use super::driver_runs::{Run, on_every};

const OPTIONS: AtsOptions = AtsOptions { response_carries_substream: true };
const VA: u64 = 0x10_0000;

fn attached(run: Run) -> Attached {
    let mut a = run.attached_with(Profile::ATSPRI, Config::default(), FaultModel::Terminate);
    a.driver.enable_ats(STREAM, OPTIONS).expect("ATS can be enabled");
    a
}

fn page_events(a: &mut Attached) -> Vec<PageEvent> {
    a.machine.dma.take_interrupt();
    std::iter::from_fn(|| a.driver.next_page_event().expect("requests can be fetched")).collect()
}

fn request(substream: SubstreamId, prg_index: u16, last: bool) -> PageRequest {
    PageRequest {
        stream: STREAM,
        substream: Some(substream),
        address: VA,
        prg_index,
        read: true,
        write: false,
        execute: false,
        privileged: false,
        last,
    }
}

#[test]
fn an_unmapped_page_leaves_the_devices_cache_too() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, mut tables) = a.process();
        let (one, two) = (a.machine.page(1, 0x11), a.machine.page(2, 0x22));
        tables.map(VA, one, Right::ReadWrite);
        assert_eq!(a.machine.read_by_ats(user(process), VA), Ok(0x11));
        tables.unmap(&mut a.driver, VA);
        tables.map(VA, two, Right::ReadWrite);
        assert_eq!(a.machine.read_by_ats(user(process), VA), Ok(0x22));
        assert_eq!(a.machine.violations(), []);
    });
}

#[test]
fn unbinding_leaves_nothing_in_the_devices_cache() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, mut tables) = a.process();
        let page = a.machine.page(1, 0x11);
        tables.map(VA, page, Right::ReadWrite);
        assert_eq!(a.machine.read_by_ats(user(process), VA), Ok(0x11));
        assert!(!a.machine.model.device().endpoint.atc().is_empty());
        a.driver.unbind(STREAM, process).expect("unbinds");
        assert!(a.machine.model.device().endpoint.atc().is_empty());
        assert_eq!(a.machine.read_by_ats(user(process), VA), Err(Fault::Abort));
    });
}

#[test]
fn a_page_request_is_handed_out_answered_and_the_access_completes() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, mut tables) = a.process();
        let Err(Fault::Stalled(StallTag { stag, .. })) = a.machine.read_by_ats(user(process), VA) else { panic!("waits for a page") };
        let events = page_events(&mut a);
        let [PageEvent::Request(asked)] = events[..] else { panic!("{events:?}") };
        assert_eq!(asked, request(process, stag, true));
        let page = a.machine.page(1, 0x11);
        tables.map(VA, page, Right::ReadWrite);
        let group = PageGroup { stream: STREAM, substream: Some(process), prg_index: stag };
        a.driver.respond(group, PageAnswer::Success).expect("answered");
        assert_eq!(a.driver.respond(group, PageAnswer::Success), Err(SmmuError::UnknownGroup), "once");
        assert_eq!(a.machine.take_resumed(), [(StallTag { stream: STREAM, stag }, Verdict::Retry)]);
        assert_eq!(a.machine.read_by_ats(user(process), VA), Ok(0x11));
    });
}

#[test]
fn a_refused_page_request_aborts_the_access() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, _tables) = a.process();
        assert!(matches!(a.machine.read_by_ats(user(process), VA), Err(Fault::Stalled(_))));
        page_events(&mut a);
        let group = PageGroup { stream: STREAM, substream: Some(process), prg_index: 0 };
        a.driver.respond(group, PageAnswer::Invalid).expect("answered");
        assert_eq!(a.machine.take_resumed(), [(StallTag { stream: STREAM, stag: 0 }, Verdict::Abort)]);
        assert!(a.machine.model.device().endpoint.requests_pages());
    });
}

#[test]
fn unbinding_answers_every_group_of_the_process_and_no_other() {
    on_every(|run| {
        let mut a = attached(run);
        let (dying, _t1) = a.process();
        let (living, _t2) = a.process();
        // One group handed out, one still in the queue, one of somebody else between them.
        assert!(a.machine.read_by_ats(user(dying), VA).is_err());
        assert_eq!(page_events(&mut a).len(), 1);
        assert!(a.machine.read_by_ats(user(living), VA).is_err());
        assert!(a.machine.read_by_ats(user(dying), VA).is_err());
        a.driver.unbind(STREAM, dying).expect("unbinds");
        let mut ended = a.machine.take_resumed();
        ended.sort_by_key(|(tag, _)| tag.stag);
        assert_eq!(ended, [0, 2].map(|stag| (StallTag { stream: STREAM, stag }, Verdict::Abort)));
        let events = page_events(&mut a);
        assert_eq!(events, [PageEvent::Request(request(living, 1, true))]);
    });
}

#[test]
fn sm_p09_a_page_request_that_was_set_aside_is_not_delivered_to_the_next_owner() {
    on_every(|run| {
        let mut a = attached(run);
        let (old, tables) = a.process();
        let (other, _other_tables) = a.process();
        let (living, _living_tables) = a.process();
        // A whole group, and one whose last request has not come.
        for request in [request(old, 1, true), request(old, 2, false), request(living, 3, true), request(other, 4, true)] {
            a.machine.model.device().request_page(request);
        }
        a.machine.dma.take_interrupt();
        a.driver.unbind(STREAM, other).expect("unbinds");
        a.driver.unbind(STREAM, old).expect("unbinds");
        a.driver.free_substream(old).expect("free");
        a.driver.free_asid(tables.asid).expect("free");
        a.driver.claim_substream(old).expect("its number is somebody else's at once");
        let next = Tables::new(&a.machine, &mut a.driver);
        a.driver.bind(STREAM, old, &next.description()).expect("binds");
        assert_eq!(page_events(&mut a), [PageEvent::Request(request(living, 3, true))]);
        a.driver.respond(PageGroup { stream: STREAM, substream: Some(living), prg_index: 3 }, PageAnswer::Success).expect("it waits");
        assert_eq!(a.machine.violations(), []);
    });
}

#[test]
fn a_stream_that_is_cut_off_serves_no_translation_that_its_device_keeps() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, mut tables) = a.process();
        tables.map(VA, a.machine.page(1, 0x11), Right::ReadWrite);
        a.kernel.map(VA, a.machine.page(2, 0x22), Right::ReadWrite);
        let reads = |a: &Attached| [user(process), kernel()].map(|who| a.machine.read_by_ats(who, VA));
        assert_eq!(reads(&a), [Ok(0x11), Ok(0x22)]);
        assert!(!a.machine.model.device().endpoint.atc().is_empty());
        a.driver.block(STREAM).expect("cut off");
        assert_eq!(reads(&a), [Err(Fault::Abort); 2], "the device still holds both");
        a.driver.unblock(STREAM).expect("back");
        assert_eq!(reads(&a), [Ok(0x11), Ok(0x22)]);
        assert_eq!(a.machine.violations(), []);
    });
}

#[test]
fn cutting_a_stream_off_or_taking_ats_back_answers_what_its_device_has_asked_for() {
    on_every(|run| {
        for way in 0..3 {
            let mut a = attached(run);
            // One group handed out, one still in the queue.
            assert!(matches!(a.machine.read_by_ats(kernel(), VA), Err(Fault::Stalled(_))));
            let events = page_events(&mut a);
            let [PageEvent::Request(asked)] = events[..] else { panic!("{events:?}") };
            assert!(matches!(a.machine.read_by_ats(kernel(), VA + 0x1000), Err(Fault::Stalled(_))));
            match way {
                0 => a.driver.block(STREAM).expect("cut off"),
                1 => a.driver.disable_ats(STREAM).expect("taken back"),
                _ => a.driver.detach(STREAM).expect("let go"),
            }
            let ended = a.machine.take_resumed();
            assert!(ended.len() == 2 && ended.iter().all(|(_, verdict)| *verdict == Verdict::Abort), "way {way}: {ended:?}");
            assert_eq!(page_events(&mut a), [], "nothing is left to be answered");
            let group = PageGroup { stream: STREAM, substream: None, prg_index: asked.prg_index };
            assert_eq!(a.driver.respond(group, PageAnswer::Success), Err(SmmuError::UnknownGroup), "the driver has answered");
            if way == 0 {
                a.driver.unblock(STREAM).expect("back");
                assert!(matches!(a.machine.read_by_ats(kernel(), VA), Err(Fault::Stalled(_))));
                assert_eq!(page_events(&mut a).len(), 1, "it asks again");
            }
            assert_eq!(a.machine.violations(), []);
        }
    });
}

#[test]
fn requests_of_nobody_are_refused_and_stop_markers_are_reported() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, _tables) = a.process();
        a.machine.model.device().request_page(request(SubstreamId(77), 5, true));
        a.machine.model.device().request_page(PageRequest { read: false, ..request(process, 0, true) });
        assert_eq!(page_events(&mut a), [PageEvent::Stopped { stream: STREAM, substream: Some(process) }]);
        let group = PageGroup { stream: STREAM, substream: Some(SubstreamId(77)), prg_index: 5 };
        assert_eq!(a.driver.respond(group, PageAnswer::Success), Err(SmmuError::UnknownGroup), "the driver has answered");
    });
}

#[test]
fn a_page_request_overflow_is_drained_reported_and_acknowledged() {
    on_every(|run| {
        let mut a = attached(run);
        let (process, _tables) = a.process();
        for i in 0..70 {
            a.machine.model.device().request_page(request(process, i, true));
        }
        let events = page_events(&mut a);
        assert_eq!(events.len(), 65);
        assert_eq!(events.last(), Some(&PageEvent::RequestsLost));
        for prg_index in 0..64 {
            let group = PageGroup { stream: STREAM, substream: Some(process), prg_index };
            a.driver.respond(group, PageAnswer::Success).expect("answered");
        }
        a.machine.model.device().request_page(request(process, 9, true));
        assert_eq!(page_events(&mut a), [PageEvent::Request(request(process, 9, true))], "the queue lives on");
    });
}

#[test]
fn a_device_that_does_not_complete_an_invalidation_is_named_by_the_error() {
    on_every(|run| {
        let mut a = attached(run);
        let (_process, mut tables) = a.process();
        a.machine.model.device().endpoint.set_completes_invalidations(false);
        tables.store(VA, 0);
        let failed = a.driver.invalidate_range(tables.asid, hal::Va(VA), 0x1000, smmu_driver::Leaf::Only);
        assert!(matches!(failed, Err(SmmuError::Command(f)) if f.error == CommandError::AtcTimeout), "{failed:?}");
        a.machine.model.device().endpoint.set_completes_invalidations(true);
        a.driver.invalidate_range(tables.asid, hal::Va(VA), 0x1000, smmu_driver::Leaf::Only).expect("the queue lives on");
    });
}

#[test]
fn ats_is_refused_where_it_does_not_exist_and_can_be_taken_back() {
    on_every(|run| {
        let mut without = run.attached();
        assert_eq!(without.driver.enable_ats(STREAM, OPTIONS), Err(SmmuError::NoAts));
        let mut a = attached(run);
        let (process, mut tables) = a.process();
        assert_eq!(a.driver.disable_ats(STREAM), Err(SmmuError::StreamBound(STREAM)));
        a.driver.unbind(STREAM, process).expect("unbinds");
        let page = a.machine.page(1, 0x11);
        a.kernel.map(VA, page, Right::ReadWrite);
        assert_eq!(a.machine.read_by_ats(kernel(), VA), Ok(0x11));
        a.driver.disable_ats(STREAM).expect("taken back");
        assert!(a.machine.model.device().endpoint.atc().is_empty());
        assert_eq!(a.machine.read_by_ats(kernel(), VA), Err(Fault::Abort));
        assert_eq!(a.machine.read(kernel(), VA), Ok(0x11), "ordinary traffic goes on");
        tables.store(VA, 0);
    });
}
