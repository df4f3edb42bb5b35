//! An engine that is not zip behind the same driver and the same model: the dummy, with entries of 32 bytes.

use dummy_model::{EngineMemory, Job, Step};
use dummy_spec::{ALG_TYPES, ALGORITHMS, Completion, LOG2_SQE_BYTES, Request, SQE_WORDS, Sqe, Status};
use hal::{Access, Iova, Pa, QueueId, Requester, StallTag, SubstreamId, Verdict};
use qm_driver::{Engine, Parameters, Qm, QmError};
use qm_model::{Bar, Task};
use qm_spec::QmVersion;

use super::machine::*;
use crate::support::PageRule;

/// Two buffers of three pages each.
const SOURCE: u64 = RAM + 0x8_0000;
const DESTINATION: u64 = RAM + 0x9_0000;
const PAGE: u64 = 4096;

/// A request with the engine.
struct UnderWay {
    task: Task,
    job: Job,
    memory: Box<EngineMemory>,
}

/// What became of a run.
#[derive(PartialEq, Eq, Debug)]
enum Ran {
    Ended,
    Waits(StallTag),
}

impl UnderWay {
    /// Takes the next entry of any queue.
    fn take(machine: &Machine) -> Option<Self> {
        let task = machine.silicon().take()?;
        let who = Requester { stream: task.stream, substream: task.substream, privileged: false };
        let mut sqe = [0; SQE_WORDS];
        sqe.copy_from_slice(&task.sqe[..SQE_WORDS]);
        assert!(task.sqe[SQE_WORDS..].iter().all(|word| *word == 0), "an entry is 32 bytes long");
        Some(Self { task, job: Job::start(sqe, who), memory: Box::default() })
    }

    /// Steps until it waits or has been given back.
    fn run(&mut self, machine: &Machine) -> Ran {
        let mut port = machine.port.clone();
        loop {
            match self.job.step(&mut port, &mut self.memory) {
                Step::Progress => {}
                Step::Stalled(tag) => return Ran::Waits(tag),
                Step::Done(sqe) => {
                    self.task.sqe[..SQE_WORDS].copy_from_slice(&sqe);
                    machine.silicon().model.complete(&self.task, &mut port).expect("the bus is well");
                    return Ran::Ended;
                }
            }
        }
    }
}

fn driver(machine: &Machine) -> Driver {
    let engine = Engine { log2_sqe_bytes: LOG2_SQE_BYTES, alg_types: ALG_TYPES, algorithms: ALGORITHMS };
    let parameters = Parameters { engine, ..machine.parameters() };
    let mut driver =
        Qm::new(parameters, machine.window(Bar::Bar2), Some(machine.window(Bar::Bar4)), machine.clock.clone(), machine.dma.clone());
    driver.initialise().expect("initialise");
    driver.start().expect("start");
    driver
}

fn queue(driver: &mut Driver, pasid: u32) -> QueueId {
    let queue = driver.get_queue(Some(SubstreamId(pasid))).expect("a free queue");
    driver.start_queue(queue).expect("start");
    queue
}

fn copy(source: u64, destination: u64, len_bytes: u32, tag: u32) -> Sqe {
    Request { source: Iova(source), destination: Iova(destination), len_bytes, tag }.encode()
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}

fn bytes(machine: &Machine, at: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    machine.memory.peek(Pa(at), &mut out);
    out
}

fn completion(driver: &mut Driver, queue: QueueId) -> Option<Completion> {
    let mut sqe = Sqe::ZERO;
    driver.poll_completion(queue, &mut sqe.0).expect("a sound completion").map(|_| Completion::from(&sqe))
}

#[test]
fn ua_t3_entries_of_another_length_go_round_the_same_rings() {
    let machine = Machine::v3(8);
    let mut driver = driver(&machine);
    assert_eq!(driver.dus_layout().sq_offset(), 0);
    let queues = [queue(&mut driver, 5), queue(&mut driver, 6)];
    assert_eq!(driver.submit(queues[0], &[0; 32]), Err(QmError::Invalid), "an entry of zip");
    assert_eq!(driver.set_alg_type(queues[0], 1), Err(QmError::Invalid), "zip's second algorithm type");
    // Three laps, with both queues in flight; each request's data lie elsewhere.
    for round in 0..24_u32 {
        for (index, queue) in queues.iter().enumerate() {
            let seed = (2 * round + index as u32) as u8;
            let (from, to) = (SOURCE + 100 * u64::from(seed), DESTINATION + 100 * u64::from(seed));
            machine.memory.poke(Pa(from), &pattern(seed, 77));
            driver.submit(*queue, &copy(from, to, 77, seed.into()).0).expect("room");
        }
        machine.port.take_log();
        while let Some(mut request) = UnderWay::take(&machine) {
            assert_eq!(request.run(&machine), Ran::Ended);
        }
        let spaces: Vec<_> = machine.port.take_log().iter().filter_map(|(who, ..)| who.substream).collect();
        assert_eq!(spaces, [5, 5, 6, 6].map(SubstreamId), "data go by the queue's own space, entries by none");
        for (index, queue) in queues.iter().enumerate() {
            let seed = 2 * round + index as u32;
            let expected = Completion { status: Status::COPIED, written_bytes: 77, tag: seed };
            assert_eq!(completion(&mut driver, *queue), Some(expected));
            assert_eq!(bytes(&machine, DESTINATION + 100 * u64::from(seed), 77), pattern(seed as u8, 77));
        }
    }
    assert_eq!(machine.silicon().model.counters().unknown_writes, 0);
}

/// Each access of a copy waits once, and is then let go on, refused, or ignored: the request ends right each time, and so does the one after it.
#[test]
fn a_copy_survives_a_stall_at_each_of_its_accesses() {
    let len = 2 * PAGE as usize + 100;
    // Pages of the source from offset 50, pages of the destination from 200 on: pieces end wherever either page does.
    let (source, destination) = (SOURCE + 50, DESTINATION + 200);
    let plain = {
        let machine = Machine::v3(8);
        let mut driver = driver(&machine);
        let queue = queue(&mut driver, 5);
        driver.submit(queue, &copy(source, destination, len as u32, 1).0).expect("room");
        let mut request = UnderWay::take(&machine).expect("a request");
        machine.port.take_log();
        assert_eq!(request.run(&machine), Ran::Ended);
        let log = machine.port.take_log();
        log.into_iter().filter(|(who, ..)| who.substream.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(plain.len(), 10);
    let crosses = |at: u64, len: usize| at / PAGE != (at + len as u64 - 1) / PAGE;
    assert!(plain.iter().all(|(_, _, at, len)| !crosses(*at, *len)));
    for verdict in [Verdict::Retry, Verdict::Abort, Verdict::ReadZeroWriteIgnore] {
        for page in [source, source + PAGE, source + 2 * PAGE, destination, destination + PAGE, destination + 2 * PAGE] {
            let machine = Machine::v3(8);
            let mut driver = driver(&machine);
            let (queue, other) = (queue(&mut driver, 5), queue(&mut driver, 6));
            machine.memory.poke(Pa(source), &pattern(9, len));
            machine.memory.poke(Pa(destination), &pattern(1, len));
            machine.port.set_rule(Iova(page), Some(PageRule::Stall(3)));
            driver.submit(queue, &copy(source, destination, len as u32, 1).0).expect("room");
            let mut request = UnderWay::take(&machine).expect("a request");
            let Ran::Waits(tag) = request.run(&machine) else { panic!("{page:#x} is met") };
            assert_eq!(tag, StallTag { stream: STREAM, stag: 3 });
            // Whatever waits holds up its own queue only.
            driver.submit(other, &copy(SOURCE + 0x8000, DESTINATION + 0x8000, 16, 2).0).expect("room");
            assert_eq!(UnderWay::take(&machine).expect("the other queue's").run(&machine), Ran::Ended);
            assert_eq!(completion(&mut driver, other).map(|done| done.status), Some(Status::COPIED));
            machine.port.set_rule(Iova(page), None);
            request.job.resume(verdict);
            assert_eq!(request.run(&machine), Ran::Ended);
            let done = completion(&mut driver, queue).expect("a completion");
            let written = done.written_bytes as usize;
            let (now, new, old) = (bytes(&machine, destination, len), pattern(9, len), pattern(1, len));
            match verdict {
                Verdict::Retry => assert_eq!((done.status, written, now), (Status::COPIED, len, new)),
                Verdict::Abort => {
                    let fault = if page < DESTINATION { Status::READ_FAULT } else { Status::WRITE_FAULT };
                    assert_eq!((done.status, &now[..written], &now[written..]), (fault, &new[..written], &old[written..]));
                }
                Verdict::ReadZeroWriteIgnore => {
                    assert_eq!((done.status, written), (Status::COPIED, len));
                    let first = now.iter().zip(&new).position(|(now, new)| now != new).expect("a gap");
                    let last = now.iter().zip(&new).rposition(|(now, new)| now != new).expect("a gap");
                    let gap: &[u8] = if page < DESTINATION { &[0; PAGE as usize] } else { &old[first..] };
                    assert!(last - first < PAGE as usize && now[first..=last] == gap[..=last - first], "{page:#x}");
                }
            }
            driver.submit(queue, &copy(source, destination, 16, 3).0).expect("room");
            assert_eq!(UnderWay::take(&machine).expect("the next").run(&machine), Ran::Ended);
            assert_eq!(completion(&mut driver, queue).map(|done| done.status), Some(Status::COPIED));
        }
    }
}

#[test]
fn refused_entries_come_back_without_an_access() {
    let machine = Machine::v3(8);
    let mut driver = driver(&machine);
    let queue = queue(&mut driver, 5);
    let mut unknown = copy(SOURCE, DESTINATION, 16, 4);
    unknown.0[0] |= 1 << 31;
    for (sqe, status) in [
        (unknown, Status::BAD_OPERATION),
        (copy(SOURCE, DESTINATION, 0, 4), Status::BAD_LENGTH),
        (copy(SOURCE, SOURCE, 1, 4), Status::BAD_RANGE),
        (copy(u64::MAX, DESTINATION, 2, 4), Status::BAD_RANGE),
    ] {
        driver.submit(queue, &sqe.0).expect("room");
        let mut request = UnderWay::take(&machine).expect("a request");
        machine.port.take_log();
        assert_eq!(request.run(&machine), Ran::Ended);
        assert!(machine.port.take_log().iter().all(|(who, access, ..)| who.substream.is_none() && *access == Access::Write));
        assert_eq!(completion(&mut driver, queue), Some(Completion { status, written_bytes: 0, tag: 4 }));
    }
}

#[test]
fn a_copy_whose_queue_was_reset_moves_nothing_more() {
    let machine = Machine::v3(8);
    let mut driver = driver(&machine);
    let queue = queue(&mut driver, 5);
    machine.port.set_rule(Iova(DESTINATION), Some(PageRule::Stall(3)));
    driver.submit(queue, &copy(SOURCE, DESTINATION, 16, 1).0).expect("room");
    let mut request = UnderWay::take(&machine).expect("a request");
    assert!(matches!(request.run(&machine), Ran::Waits(_)));
    assert!(machine.silicon().model.may_transfer(&request.task));
    machine.silicon().model.reset();
    assert!(!machine.silicon().model.may_transfer(&request.task), "firmware asks this before every access");
    request.job.resume(Verdict::Abort);
    machine.port.take_log();
    assert_eq!(request.run(&machine), Ran::Ended);
    assert_eq!(machine.port.take_log(), [], "neither data nor entry nor completion");
    assert_eq!(machine.silicon().model.config().version, QmVersion::V3);
}
