//! The queue calls of the user library on a mock device.

use super::user_device::*;
use hal::Region;
use qm_spec::Cqe;
use uacce_abi::{Command, Errno, PollFd, QpInfo};
use uacce_user::{
    CompletionWait, Direction, Wanted, WdError, WdQueue, wd_flush, wd_recv, wd_recv_sync, wd_release_queue, wd_request_queue, wd_send,
};
use zip_spec::Sqe;

const GZIP: Wanted<'static> = Wanted { algorithm: "gzip", direction: Direction::Decompress };
const NO_SPIN: CompletionWait = CompletionWait { spins: 0, timeout_nanoseconds: 200_000_000 };

fn queue(mock: &Mock) -> WdQueue<'_, Mock> {
    let queue = wd_request_queue(mock, &GZIP).unwrap();
    mock.take_log();
    queue
}

/// An entry that is recognised again.
fn entry(n: u32) -> Sqe {
    Sqe(core::array::from_fn(|i| if i == 7 { 0x3000_0000 } else { n.wrapping_mul(0x9e37_79b9) ^ i as u32 }))
}

#[test]
fn ua_u1_request_follows_the_required_order() {
    let mock = Mock::new(1024);
    let queue = wd_request_queue(&mock, &GZIP).unwrap();
    let expected =
        [Did::Open(0), Did::Context(1), Did::Info, Did::Map(Region::Dus, 0x2_5000), Did::Map(Region::Mmio, 0x1_0000), Did::Start];
    assert_eq!(mock.take_log(), expected);
    assert_eq!((queue.number(), queue.capacity(), queue.in_flight()), (NUMBER, 1023, 0));
    assert_eq!(wd_release_queue(queue), Ok(()));
    assert_eq!(mock.take_log(), [Did::Put, Did::Close]);
}

#[test]
fn ua_u2_a_dropped_queue_is_given_back() {
    let mock = Mock::new(16);
    drop(queue(&mock));
    assert_eq!(mock.take_log(), [Did::Put, Did::Close]);
}

#[test]
fn ua_u9_nodes_are_matched_by_format_and_algorithm() {
    let node = |mock: &Mock| wd_request_queue(mock, &GZIP).map(|_| mock.take_log()[0].clone());
    let dummy = |nodes: &mut Vec<Node>| {
        nodes.insert(0, Node { api: "dummy_v1", ..nodes[0].clone() });
        nodes.insert(1, Node { algorithms: "sha256\ngzipper", ..nodes[1].clone() });
    };
    assert_eq!(node(&Mock::with(16, dummy)), Ok(Did::Open(2)));
    assert_eq!(node(&Mock::with(16, |nodes| nodes.clear())), Err(WdError::NoDevice));
    assert_eq!(node(&Mock::with(16, |nodes| nodes[0].api = "hisi_qm_v9")), Err(WdError::NoDevice));
    assert_eq!(node(&Mock::with(16, |nodes| nodes[0].flags = "0")), Err(WdError::NoSva));
    assert_eq!(node(&Mock::with(16, |nodes| nodes[0].instances = "0")), Err(WdError::NoInstance));
    assert_eq!(node(&Mock::with(16, |nodes| nodes[0].instances = "many")), Err(WdError::Kernel(Errno::EIO)));
    // The last instance went between the attribute and the open: the next node serves.
    let raced = |nodes: &mut Vec<Node>| {
        nodes.push(nodes[0].clone());
        nodes[0].open = Err(Errno::EBUSY);
    };
    let mock = Mock::with(16, raced);
    assert!(wd_request_queue(&mock, &GZIP).is_ok());
    assert_eq!(mock.take_log()[..2], [Did::Open(0), Did::Open(1)]);
    let mock = Mock::with(16, |nodes| nodes[0].open = Err(Errno::EBUSY));
    assert_eq!(wd_request_queue(&mock, &GZIP).err(), Some(WdError::NoInstance));
    let mock = Mock::with(16, |nodes| nodes[0].open = Err(Errno::EACCES));
    assert_eq!(wd_request_queue(&mock, &GZIP).err(), Some(WdError::Kernel(Errno::EACCES)));
}

#[test]
fn ua_u1_a_failed_set_up_closes_the_handle() {
    for (command, errno) in [(Command::SET_QP_CTX, Errno::EINVAL), (Command::SET_QP_INFO, Errno::EINVAL), (Command::START_Q, Errno::EIO)] {
        let mock = Mock::new(16);
        mock.state.refuses.set(Some((command, errno)));
        assert_eq!(wd_request_queue(&mock, &GZIP).err(), Some(WdError::Kernel(errno)));
        assert_eq!(mock.take_log().last(), Some(&Did::Close));
    }
}

#[test]
fn ua_u1_lengths_that_do_not_fit_are_refused() {
    let bad_dus = Mock::with(16, |nodes| nodes[0].dus_bytes += 4096);
    let bad_mmio = Mock::with(16, |nodes| nodes[0].mmio_bytes = 0x1000);
    for mock in [bad_dus, bad_mmio] {
        assert!(matches!(wd_request_queue(&mock, &GZIP), Err(WdError::BadLayout { .. })));
        assert_eq!(mock.take_log().last(), Some(&Did::Close));
    }
    for info in [
        QpInfo { sqe_size: 64, sq_depth: 16, cq_depth: 16, reserved: 0 },
        QpInfo { sqe_size: 128, sq_depth: 0, cq_depth: 16, reserved: 0 },
        QpInfo { sqe_size: 128, sq_depth: 16, cq_depth: 1, reserved: 0 },
    ] {
        let mut mock = Mock::new(16);
        std::rc::Rc::get_mut(&mut mock.state).unwrap().info = info;
        assert!(matches!(wd_request_queue(&mock, &GZIP), Err(WdError::BadLayout { .. })), "{info:?}");
    }
}

#[test]
fn ua_u3_u4_every_request_comes_back_once_over_many_wraps() {
    let mock = Mock::new(16);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    let mut expected = 0u32;
    for n in 0..5000u32 {
        wd_send(&mut queue, &entry(n)).unwrap();
        if n % 7 == 3 || queue.in_flight() == queue.capacity() {
            while wd_recv(&mut queue, &mut sqe) != Err(WdError::Again) {
                let mut wanted = entry(expected);
                wanted.set_result(expected + 1, wanted.0[4], zip_spec::Status::SUCCESS, false);
                assert_eq!(sqe, wanted, "request {expected}");
                expected += 1;
            }
            assert_eq!(queue.in_flight(), 0);
        }
    }
    wd_flush(&mut queue, NO_SPIN, |_| expected += 1).unwrap();
    assert_eq!((expected, queue.in_flight()), (5000, 0));
}

#[test]
fn ua_u3_one_doorbell_per_send_and_one_per_receive() {
    let mock = Mock::new(4);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    for _ in 0..5 {
        wd_send(&mut queue, &entry(1)).unwrap();
        wd_recv(&mut queue, &mut sqe).unwrap();
    }
    let indices: Vec<Did> = [1, 2, 3, 0, 1].into_iter().flat_map(|i| [Did::Sq(i), Did::Cq { head: i, arms: false }]).collect();
    assert_eq!(mock.take_log(), indices);
}

#[test]
fn ua_u3_a_full_ring_is_busy_and_nothing_is_overwritten() {
    let mock = Mock::new(8);
    mock.state.is_eager.set(false);
    let mut queue = queue(&mock);
    for n in 0..7 {
        wd_send(&mut queue, &entry(n)).unwrap();
    }
    let doorbells = mock.take_log().len();
    assert_eq!((doorbells, wd_send(&mut queue, &entry(99))), (7, Err(WdError::Busy)));
    assert_eq!(mock.take_log(), []);
    assert_eq!(mock.serve(100), 7);
    assert_eq!(mock.state.fetched.take(), (0..7).map(entry).collect::<Vec<_>>());
    let mut sqe = Sqe::ZERO;
    wd_recv(&mut queue, &mut sqe).unwrap();
    wd_send(&mut queue, &entry(7)).unwrap();
    assert_eq!(wd_send(&mut queue, &entry(8)), Err(WdError::Busy));
}

#[test]
fn ua_u4_an_empty_ring_says_again() {
    let mock = Mock::new(8);
    mock.state.is_eager.set(false);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::Again));
    wd_send(&mut queue, &entry(1)).unwrap();
    assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::Again));
    mock.serve(1);
    assert_eq!(wd_recv(&mut queue, &mut sqe), Ok(()));
    assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::Again), "the phase of the last lap is not new");
}

/// The wrong phase is the only thing that tells an old completion from a new one: replay a whole lap of old ones.
#[test]
fn ua_u4_completions_of_the_last_lap_are_not_taken() {
    let mock = Mock::new(4);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    for lap in 0..6 {
        for _ in 0..4 {
            assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::Again), "lap {lap}");
            wd_send(&mut queue, &entry(lap)).unwrap();
            assert_eq!(wd_recv(&mut queue, &mut sqe), Ok(()), "lap {lap}");
        }
    }
}

#[test]
fn ua_u3_the_tx_stop_word_ends_sending_without_a_doorbell() {
    let mock = Mock::new(8);
    let mut queue = queue(&mock);
    wd_send(&mut queue, &entry(1)).unwrap();
    mock.take_log();
    mock.set_tx_stop();
    assert_eq!(wd_send(&mut queue, &entry(2)), Err(WdError::Stopped));
    assert_eq!((mock.take_log(), queue.in_flight()), (vec![], 1));
    // What was complete before may still be taken.
    let mut sqe = Sqe::ZERO;
    assert_eq!(wd_recv(&mut queue, &mut sqe), Ok(()));
}

#[test]
fn ua_u4_the_rx_stop_word_ends_receiving() {
    let mock = Mock::new(8);
    let mut queue = queue(&mock);
    wd_send(&mut queue, &entry(1)).unwrap();
    mock.set_rx_stop();
    mock.take_log();
    let mut sqe = Sqe::ZERO;
    assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::Stopped));
    assert_eq!(wd_recv_sync(&mut queue, &mut sqe, NO_SPIN), Err(WdError::Stopped), "a waiter does not spin for ever");
    assert_eq!(wd_flush(&mut queue, NO_SPIN, |_| {}), Err(WdError::Stopped));
}

#[test]
fn ua_u4_impossible_completions_are_refused() {
    for cqe in [
        Cqe { sq_head: 8, sq_num: NUMBER, phase: true },
        Cqe { sq_head: 0xffff, sq_num: NUMBER, phase: true },
        Cqe { sq_head: 0, sq_num: NUMBER + 1, phase: true },
    ] {
        let mock = Mock::new(8);
        mock.state.is_eager.set(false);
        let mut queue = queue(&mock);
        wd_send(&mut queue, &entry(1)).unwrap();
        mock.complete_with(cqe);
        let mut sqe = Sqe::ZERO;
        assert_eq!(wd_recv(&mut queue, &mut sqe), Err(WdError::BadCompletion { sq_head: cqe.sq_head, sq_num: cqe.sq_num }));
    }
    // One more than was sent.
    let mock = Mock::new(8);
    let mut queue = queue(&mock);
    mock.complete_with(Cqe { sq_head: 0, sq_num: NUMBER, phase: true });
    assert!(matches!(wd_recv(&mut queue, &mut Sqe::default()), Err(WdError::BadCompletion { .. })));
}

#[test]
fn ua_u5_sync_arms_looks_again_and_sleeps() {
    let mock = Mock::new(8);
    mock.state.is_eager.set(false);
    mock.state.serves_on_poll.set(true);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    wd_send(&mut queue, &entry(1)).unwrap();
    mock.take_log();
    wd_recv_sync(&mut queue, &mut sqe, CompletionWait { spins: 10, timeout_nanoseconds: 1_000_000_000 }).unwrap();
    assert_eq!(mock.state.relaxes.get(), 10);
    let arm = Did::Cq { head: 0, arms: true };
    assert_eq!(mock.take_log(), [arm.clone(), Did::Poll(50_000_000), arm, Did::Cq { head: 1, arms: false }]);
}

/// The completion comes between the first look and the sleep: it is found without sleeping.
#[test]
fn ua_u5_no_wake_up_is_lost() {
    let mock = Mock::new(8);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    for n in 0..10_000 {
        wd_send(&mut queue, &entry(n)).unwrap();
        wd_recv_sync(&mut queue, &mut sqe, NO_SPIN).unwrap();
    }
    assert!(mock.take_log().iter().all(|did| !matches!(did, Did::Poll(_))));
}

#[test]
fn ua_u5_sync_times_out_and_can_be_repeated() {
    let mock = Mock::new(8);
    mock.state.is_eager.set(false);
    let mut queue = queue(&mock);
    let mut sqe = Sqe::ZERO;
    wd_send(&mut queue, &entry(1)).unwrap();
    mock.take_log();
    assert_eq!(wd_recv_sync(&mut queue, &mut sqe, NO_SPIN), Err(WdError::TimedOut));
    let slept: u64 = mock.take_log().iter().map(|did| if let Did::Poll(time) = did { *time } else { 0 }).sum();
    assert_eq!(slept, 200_000_000);
    mock.serve(1);
    assert_eq!(wd_recv_sync(&mut queue, &mut sqe, NO_SPIN), Ok(()));
}

#[test]
fn ua_u5_a_dead_handle_wakes_the_waiter() {
    for revents in [PollFd::ERR, PollFd::NVAL] {
        let mock = Mock::new(8);
        mock.state.is_eager.set(false);
        mock.state.poll_revents.set(revents);
        let mut queue = queue(&mock);
        wd_send(&mut queue, &entry(1)).unwrap();
        assert_eq!(wd_recv_sync(&mut queue, &mut Sqe::default(), NO_SPIN), Err(WdError::Stopped));
    }
}

#[test]
fn ua_u6_flush_hands_out_what_is_in_flight_in_order() {
    let mock = Mock::new(8);
    mock.state.is_eager.set(false);
    mock.state.serves_on_poll.set(true);
    let mut queue = queue(&mock);
    for n in 0..7 {
        wd_send(&mut queue, &entry(n)).unwrap();
    }
    let mut seen = vec![];
    wd_flush(&mut queue, NO_SPIN, |sqe| seen.push(sqe.0[0])).unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
}

/// The entry must be in memory before the doorbell: without the write barrier the device fetches what stood there before.
#[test]
fn ua_u3_wmb_before_the_doorbell() {
    for is_broken in [false, true] {
        let mock = Mock::new(8);
        let mut queue = queue(&mock);
        mock.dma.break_barriers(is_broken, false);
        wd_send(&mut queue, &entry(5)).unwrap();
        assert_eq!(mock.state.fetched.borrow()[0] == entry(5), !is_broken);
    }
}

/// Nothing of the completion may be older than its phase bit: without the read barrier the entry is that of before.
#[test]
fn ua_u4_rmb_after_the_phase_bit() {
    for is_broken in [false, true] {
        let mock = Mock::new(8);
        let mut queue = queue(&mock);
        let mut sqe = Sqe::ZERO;
        mock.dma.break_barriers(false, is_broken);
        wd_send(&mut queue, &entry(5)).unwrap();
        let received = wd_recv(&mut queue, &mut sqe);
        let is_right = received == Ok(()) && sqe.0[0] == 1;
        assert_eq!(is_right, !is_broken, "{received:?}");
    }
}
