//! Page faults of the engine: park, resume, give up.

use super::rig::*;
use hal::{Iova, Verdict};
use zip_model::{Direction, Job, Step};
use zip_spec::{Completion, Container, Flush, Mode, Request, Sqe, Status, stream_context};

/// Steps until the job stalls or ends.
fn until_stall(rig: &mut Rig, job: &mut Job) -> Step {
    for _ in 0..MAX_STEPS {
        match job.step(&mut rig.port, &mut rig.engine) {
            Step::Progress => {}
            other => return other,
        }
    }
    panic!("the job is wedged");
}

#[test]
fn every_page_absent_gives_the_same_result() {
    let data = text(150_000, 1);
    for container in FORMATS {
        for direction in [Direction::Compress, Direction::Decompress] {
            let mut rig = Rig::new(4);
            let input = if direction == Direction::Compress { data.clone() } else { judge_encode(container, &data, 6) };
            let (smooth, whole) = rig.one_shot(container, direction, &input, 200_000);
            let (source, destination) = (rig.put(&input), rig.room(200_000));
            rig.port.set_pages(source, input.len(), Some(PageState::Absent));
            rig.port.set_pages(destination, 200_000, Some(PageState::Absent));
            let completion = rig.run(flat(container, source, input.len(), destination, 200_000), direction);
            assert_eq!(completion, smooth);
            assert!(rig.peek(destination, whole.len()) == whole);
            let pages = |at: Iova, len: usize| ((at.0 + len as u64 - 1) / PAGE - at.0 / PAGE + 1) as u32;
            assert_eq!(rig.port.stalls, pages(source, input.len()) + pages(destination, whole.len()), "one stall per page touched");
        }
    }
}

#[test]
fn a_stream_stalls_in_its_context_too() {
    let data = text(120_000, 2);
    for direction in [Direction::Compress, Direction::Decompress] {
        let mut out = vec![];
        for absent in [false, true] {
            let mut rig = Rig::new(4);
            let input = if direction == Direction::Compress { data.clone() } else { judge_encode(Container::Gzip, &data, 6) };
            let source = rig.put(&input);
            let destination = rig.room(200_000);
            let mut stream = StreamState::new(&mut rig);
            let (mut consumed, mut produced) = (0, 0);
            let mut completions = vec![];
            let half = input.len() / 2;
            for (end, flush) in [(half, Flush::Sync), (input.len(), Flush::Finish)] {
                if absent {
                    rig.port.set_pages(source, input.len(), Some(PageState::Absent));
                    rig.port.set_pages(destination, 200_000, Some(PageState::Absent));
                    rig.port.set_pages(stream.context, stream_context::END, Some(PageState::Absent));
                }
                stream.step.flush = flush;
                let (from, into) = (Iova(source.0 + consumed as u64), Iova(destination.0 + produced as u64));
                let request = flat(Container::Gzip, from, end - consumed, into, 200_000 - produced);
                let completion = rig.run(Request { mode: Mode::Stream(stream.step), ..request }, direction);
                assert!(completion.status.is_good(), "{completion:?}");
                consumed += completion.consumed as usize;
                produced += completion.produced as usize;
                stream.follow(&completion);
                completions.push(completion);
            }
            assert_eq!(consumed, input.len());
            out.push((completions, rig.peek(destination, produced)));
            assert_eq!(rig.port.stalls > 20, absent);
        }
        assert!(out[0] == out[1], "{direction:?}");
    }
}

#[test]
fn the_same_access_is_repeated_and_no_other() {
    let mut rig = Rig::new(2);
    let data = text(9000, 3);
    let (source, destination) = (rig.put(&data), rig.room(10_000));
    rig.port.set_pages(Iova(source.0 + 4096), 1, Some(PageState::Absent));
    let mut job = Job::start(flat(Container::Zlib, source, 9000, destination, 10_000).encode().0, Direction::Compress, WHO);
    let Step::Stalled(tag) = until_stall(&mut rig, &mut job) else { panic!("no stall") };
    let accesses = rig.port.accesses;
    for _ in 0..10 {
        assert_eq!(job.step(&mut rig.port, &mut rig.engine), Step::Stalled(tag));
    }
    assert_eq!(rig.port.accesses, accesses, "a parked job touches nothing");
    // Retried too early, it stalls again under a new tag.
    job.resume(Verdict::Retry);
    let Step::Stalled(second) = until_stall(&mut rig, &mut job) else { panic!("no stall") };
    assert_ne!(second, tag);
    assert_eq!(rig.port.accesses, accesses + 1);
    rig.port.resolve(second);
    job.resume(Verdict::Retry);
    let Step::Done(words) = until_stall(&mut rig, &mut job) else { panic!("no end") };
    let completion = Completion::from(&Sqe(words));
    let body = rig.peek(destination, completion.produced as usize);
    assert!(judge_decode(Container::Zlib, &body, 9000) == Some(data));
}

#[test]
fn sm_f18_an_abort_verdict_ends_the_request_with_the_status_of_its_place() {
    let data = text(9000, 3);
    let body = judge_encode(Container::Gzip, &data, 6);
    let cases: [(&str, Status); 3] =
        [("source", Status::SOURCE_ABORT), ("destination", Status::DESTINATION_ABORT), ("context", Status::CONTEXT_ABORT)];
    for (place, expected) in cases {
        for by_verdict in [true, false] {
            let mut rig = Rig::new(2);
            let (source, destination) = (rig.put(&body), rig.room(9000));
            let stream = StreamState::new(&mut rig);
            let state = if by_verdict { PageState::Absent } else { PageState::Broken };
            match place {
                "source" => rig.port.set_pages(source, body.len(), Some(state)),
                "destination" => rig.port.set_pages(destination, 9000, Some(state)),
                _ => rig.port.set_pages(stream.context, stream_context::END, Some(state)),
            }
            // A stream that has not ended keeps its context: half of the input only.
            let request = Request { mode: Mode::Stream(stream.step), ..flat(Container::Gzip, source, body.len() / 2, destination, 9000) };
            let mut job = Job::start(request.encode().0, Direction::Decompress, WHO);
            let mut step = until_stall(&mut rig, &mut job);
            if by_verdict {
                assert!(matches!(step, Step::Stalled(_)), "{place}");
                job.resume(Verdict::Abort);
                step = until_stall(&mut rig, &mut job);
            }
            let Step::Done(words) = step else { panic!("{place}: {step:?}") };
            assert_eq!(Sqe(words).status(), expected);
            // The engine serves the next request.
            let (completion, out) = rig.one_shot(Container::Gzip, Direction::Decompress, &body, 9000);
            assert_eq!((completion.status, out == data), (Status::SUCCESS, true));
        }
    }
}

#[test]
fn sm_f18_an_abort_in_a_list_has_its_own_status() {
    for is_source in [true, false] {
        let mut rig = Rig::new(1);
        let at = rig.aligned(96, 64);
        rig.port.set_pages(at, 96, Some(PageState::Broken));
        let data = rig.put(&text(64, 1));
        let good = rig.aligned(96, 64);
        rig.poke(good, &zip_spec::SglHeader { entry_sum_in_sgl: 1, entry_length_in_sgl: 1, ..Default::default() }.to_bytes());
        rig.poke(Iova(good.0 + 64), &zip_spec::SglEntry { address: data, len_bytes: 64 }.to_bytes());
        let (source, destination) = if is_source { (at, good) } else { (good, at) };
        let request = Request { buffer_type: zip_spec::BufferType::SGL, ..flat(Container::Zlib, source, 64, destination, 64) };
        let expected = if is_source { Status::SOURCE_SGL_ABORT } else { Status::DESTINATION_SGL_ABORT };
        assert_eq!(rig.run(request, Direction::Compress).status, expected);
    }
}

#[test]
fn read_zero_write_ignore_counts_one_access_as_done() {
    let mut rig = Rig::new(2);
    let data = vec![b'a'; 12_000];
    let (source, destination) = (rig.put(&data), rig.room(13_000));
    let hole = Iova(source.0 + 4096).align_down(PAGE);
    rig.port.set_pages(hole, 1, Some(PageState::Absent));
    let mut job = Job::start(flat(Container::Zlib, source, 12_000, destination, 13_000).encode().0, Direction::Compress, WHO);
    assert!(matches!(until_stall(&mut rig, &mut job), Step::Stalled(_)));
    job.resume(Verdict::ReadZeroWriteIgnore);
    let Step::Done(words) = until_stall(&mut rig, &mut job) else { panic!("no end") };
    let completion = Completion::from(&Sqe(words));
    assert_eq!(completion.status, Status::SUCCESS);
    let mut expected = data;
    let from = (hole.0 - source.0) as usize;
    expected[from..from + 4096].fill(0);
    let body = rig.peek(destination, completion.produced as usize);
    assert!(judge_decode(Container::Zlib, &body, 12_000) == Some(expected));
}

#[test]
fn an_abort_in_mid_data_reports_what_was_done() {
    let mut rig = Rig::new(4);
    let data = Random(9).bytes(300_000);
    let (source, destination) = (rig.put(&data), rig.room(400_000));
    rig.port.set_pages(Iova(source.0 + 200_000), 1, Some(PageState::Broken));
    let completion = rig.run(flat(Container::Raw, source, 300_000, destination, 400_000), Direction::Compress);
    assert_eq!(completion.status, Status::SOURCE_ABORT);
    assert!(completion.consumed >= 131_072 && completion.consumed <= 200_000, "{completion:?}");
    assert!(completion.produced > 0);
}

#[test]
fn resume_without_a_stall_changes_nothing() {
    let mut rig = Rig::new(2);
    let data = text(1000, 3);
    let (source, destination) = (rig.put(&data), rig.room(2000));
    let mut job = Job::start(flat(Container::Zlib, source, 1000, destination, 2000).encode().0, Direction::Compress, WHO);
    loop {
        job.resume(Verdict::Abort);
        match job.step(&mut rig.port, &mut rig.engine) {
            Step::Progress => {}
            Step::Done(words) => break assert_eq!(Sqe(words).status(), Status::SUCCESS),
            Step::Stalled(tag) => panic!("{tag:?}"),
        }
    }
}
