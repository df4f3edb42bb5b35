//! Requests in flight: order, tags, errors, and buffers that come back exactly once.

use super::rig::text;
use super::user_device::*;
use uacce_user::{Asynchronous, Coding, CompletionWait, Direction, Done, Finished, Job, WdError, ZipError, ZipQueue};
use zip_spec::{Container, Status, Window};

const WAIT: CompletionWait = CompletionWait { spins: 4, timeout_nanoseconds: 100_000_000 };
const COMPRESS: Coding = Coding::Compress(Container::Zlib, Window::K32);

fn queue(mock: &Mock, direction: Direction) -> ZipQueue<'_, Mock> {
    ZipQueue::request(mock, Container::Zlib, direction, WAIT).unwrap()
}

/// Runs all of `inputs` through a queue with up to `N` in flight; returns the outputs.
fn through<const N: usize>(mock: &Mock, coding: Coding, inputs: &[Vec<u8>], batch: usize) -> Vec<Vec<u8>> {
    let mut outputs = vec![vec![0; 8000]; inputs.len()];
    let mut made = vec![];
    queue(mock, coding.direction()).asynchronous(coding, |queue: &mut Asynchronous<'_, '_, '_, '_, _, usize, N>| {
        let mut sink = |done: Done<'_, usize>| {
            assert_eq!(done.job.tag, made.len(), "in the order of submission");
            let Finished { consumed, produced } = done.result.unwrap();
            assert!(consumed == done.job.input.len() || matches!(coding, Coding::Compress(..)));
            made.push(done.job.output[..produced].to_vec());
        };
        for (tag, (input, output)) in inputs.iter().zip(&mut outputs).enumerate() {
            let mut job = Job { input, output, tag };
            while let Err((error, back)) = queue.stage(job) {
                assert_eq!((error, queue.in_flight()), (WdError::Busy, N));
                queue.wait(WAIT, &mut sink).unwrap();
                job = back;
            }
            if tag % batch == batch - 1 {
                queue.ring();
            }
        }
        while queue.in_flight() > 0 {
            queue.wait(WAIT, &mut sink).unwrap();
        }
        assert_eq!(queue.poll(&mut sink), Err(WdError::Again));
    });
    made
}

#[test]
fn ua_u3_u4_jobs_in_flight_come_back_in_order_with_their_data() {
    for (is_eager, batch) in [(true, 1), (true, 5), (false, 1), (false, 5)] {
        let mock = Mock::zip_in_place();
        mock.state.is_eager.set(is_eager);
        mock.state.serves_on_poll.set(true);
        let inputs: Vec<Vec<u8>> = (0..23).map(|seed| text(100 * seed + seed, seed as u64)).collect();
        let packed = through::<7>(&mock, COMPRESS, &inputs, batch);
        assert_eq!(packed.len(), 23);
        assert_eq!(through::<4>(&mock, Coding::Decompress(Container::Zlib), &packed, batch), inputs);
    }
}

#[test]
fn ua_u3_staged_jobs_go_with_one_doorbell() {
    let mock = Mock::zip_in_place();
    let input = text(500, 1);
    let mut outputs = [[0; 1000]; 6];
    let mut queue = queue(&mock, Direction::Compress);
    mock.take_log();
    queue.asynchronous(COMPRESS, |queue: &mut Asynchronous<'_, '_, '_, '_, _, (), 8>| {
        for output in &mut outputs {
            assert!(queue.stage(Job { input: &input, output, tag: () }).is_ok());
        }
        assert_eq!(mock.take_log(), []);
        // Who polls wants what was staged.
        assert_eq!(queue.poll(|done| assert!(done.result.is_ok())), Ok(6));
        assert_eq!(mock.take_log(), [Did::Sq(6), Did::Cq { head: 6, arms: false }]);
    });
}

/// What is called with the result is the tag.
#[test]
fn ua_u4_a_tag_can_be_what_is_called() {
    let mock = Mock::zip_in_place();
    let (input, mut output) = (text(500, 1), [0; 1000]);
    let seen = std::cell::Cell::new(0);
    let callback = |result: Result<Finished, ZipError>| seen.set(result.map_or(0, |finished| finished.produced));
    type Callback<'a> = &'a dyn Fn(Result<Finished, ZipError>);
    queue(&mock, Direction::Compress).asynchronous(COMPRESS, |queue: &mut Asynchronous<'_, '_, '_, '_, _, Callback<'_>, 2>| {
        assert!(queue.submit(Job { input: &input, output: &mut output, tag: &callback }).is_ok());
        assert_eq!(queue.poll(|done| (done.job.tag)(done.result)), Ok(1));
    });
    assert!(seen.get() > 20 && seen.get() < 500);
}

#[test]
fn what_is_wrong_with_a_job_is_told_in_its_place() {
    let mock = Mock::zip_in_place();
    let good = super::user_zlib::judged(Container::Zlib, b"four words and more");
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let inputs: [&[u8]; 5] = [&good, &[0x12, 0x34], &damaged, &[0x78], &good];
    let mut outputs = [[0; 300]; 5];
    let mut results = vec![];
    queue(&mock, Direction::Decompress).asynchronous(
        Coding::Decompress(Container::Zlib),
        |queue: &mut Asynchronous<'_, '_, '_, '_, _, u8, 8>| {
            for (tag, (input, output)) in inputs.into_iter().zip(&mut outputs).enumerate() {
                assert!(queue.submit(Job { input, output, tag: tag as u8 }).is_ok());
            }
            while queue.poll(|done| results.push((done.job.tag, done.result))).is_ok() {}
        },
    );
    let finished = Ok(Finished { consumed: good.len(), produced: 19 });
    assert_eq!((results.len(), results[0], results[4]), (5, (0, finished), (4, finished)));
    assert!(matches!(results[1], (1, Err(ZipError::Header { .. }))));
    assert!(matches!(results[2], (2, Err(ZipError::Data { status: Status::CHECKSUM_MISMATCH, .. }))), "{:?}", results[2]);
    assert_eq!(results[3], (3, Err(ZipError::Truncated { offset: 1 })));
}

/// The device stops: every job ends, once, in the queue's error, and the queue takes no more.
#[test]
fn a_dead_queue_ends_every_job_once() {
    for stops_sending in [false, true] {
        let mock = Mock::zip_in_place();
        mock.state.is_eager.set(false);
        let input = text(500, 1);
        let mut outputs = [[0; 1000]; 6];
        let mut ended = vec![];
        let mut queue = queue(&mock, Direction::Compress);
        queue.asynchronous(COMPRESS, |queue: &mut Asynchronous<'_, '_, '_, '_, _, usize, 8>| {
            let mut outputs = outputs.iter_mut().enumerate();
            for (tag, output) in outputs.by_ref().take(4) {
                assert!(queue.submit(Job { input: &input, output, tag }).is_ok());
            }
            if stops_sending {
                mock.set_tx_stop();
            } else {
                mock.set_rx_stop();
            }
            let (tag, output) = outputs.next().unwrap();
            assert!(queue.submit(Job { input: &input, output, tag }).is_ok());
            assert_eq!(queue.poll(|done| ended.push((done.job.tag, done.result.unwrap_err()))), Ok(5));
            assert_eq!(queue.poll(|_| panic!("twice")), Err(WdError::Again));
            let (tag, output) = outputs.next().unwrap();
            let refused = queue.submit(Job { input: &input, output, tag });
            assert!(matches!(refused, Err((WdError::Stopped, Job { tag: 5, .. }))));
        });
        assert_eq!(ended, [0, 1, 2, 3, 4].map(|tag| (tag, ZipError::Queue(WdError::Stopped))));
        assert!(!WdError::Stopped.is_retryable());
    }
}

/// Buffers are borrowed until the device has let go: leaving waits, and stops a queue that does not answer.
#[test]
fn leaving_waits_for_what_is_in_flight() {
    for answers in [true, false] {
        let mock = Mock::zip_in_place();
        mock.state.is_eager.set(false);
        mock.state.serves_on_poll.set(answers);
        let (input, mut output, mut second) = (text(500, 1), [0; 1000], [0; 1000]);
        let mut queue = queue(&mock, Direction::Compress);
        mock.take_log();
        queue.asynchronous(COMPRESS, |queue: &mut Asynchronous<'_, '_, '_, '_, _, (), 8>| {
            assert!(queue.submit(Job { input: &input, output: &mut output, tag: () }).is_ok());
            assert!(queue.stage(Job { input: &input, output: &mut second, tag: () }).is_ok());
        });
        let log = mock.take_log();
        assert_eq!(log.contains(&Did::Put), !answers, "{log:?}");
        assert_eq!(output[0] == 0x78 && output[2..].iter().any(|byte| *byte != 0), answers);
        assert!(output == second);
    }
}

/// The blocking calls borrow buffers too: a request that does not come back is not left to run.
#[test]
fn a_request_without_an_answer_stops_the_queue() {
    let mock = Mock::zip_in_place();
    mock.state.is_eager.set(false);
    let mut queue = queue(&mock, Direction::Compress);
    mock.take_log();
    let (input, mut output) = (text(500, 1), [0; 1000]);
    let mut run = || uacce_user::compress_one_shot(&mut queue, Container::Zlib, Window::K32, &input, &mut output);
    assert_eq!(run(), Err(ZipError::Queue(WdError::TimedOut)));
    assert_eq!(mock.take_log().last(), Some(&Did::Put));
    assert_eq!(run(), Err(ZipError::Queue(WdError::Stopped)));
}
