//! Many requests at once: engines that serve a queue each take turns in pieces of any number, as the cores of the part do.

use super::rig::*;
use hal::Verdict;
use std::collections::VecDeque;
use zip_model::{Direction, EngineMemory, Job, Step};
use zip_spec::{Container, Status};

const QUEUES: usize = 8;
/// Longest data of a request, and room for it in either form.
const LONGEST: usize = 3000;
const ROOM: usize = 4096;

/// A queue: its requests come back in the order in which they were sent.
struct Queue {
    engine: Box<EngineMemory>,
    /// Data of the requests that are still to be sent, with their formats.
    waiting: VecDeque<(Vec<u8>, Container)>,
    running: Option<Running>,
}

struct Running {
    job: Job,
    direction: Direction,
    data: Vec<u8>,
    container: Container,
}

#[test]
fn zp_c10_requests_of_eight_queues_there_and_back() {
    let count = if std::env::var_os("SOC_LONG").is_some() { 100_000 } else { 1500 };
    let mut random = Random(10);
    let mut rig = Rig::new(2);
    let sides: Vec<_> = (0..QUEUES).map(|_| (rig.room(ROOM), rig.room(ROOM))).collect();
    let mut queues: Vec<Queue> = (0..QUEUES).map(|_| Queue { engine: Box::default(), waiting: VecDeque::new(), running: None }).collect();
    let (mut sent, mut back) = (0, 0);
    while back < count {
        let number = random.below(QUEUES);
        let (left, right) = sides[number];
        let queue = &mut queues[number];
        if sent < count && queue.waiting.len() < 4 {
            let len = 1 + random.below(LONGEST);
            let data = if random.below(3) == 0 { random.bytes(len) } else { text(len, random.next()) };
            queue.waiting.push_back((data, FORMATS[random.below(3)]));
            sent += 1;
        }
        let Some(running) = &mut queue.running else {
            if let Some((data, container)) = queue.waiting.pop_front() {
                rig.poke(left, &data);
                let entry = flat(container, left, data.len(), right, ROOM).encode();
                let job = Job::start(entry.0, Direction::Compress, WHO);
                queue.running = Some(Running { job, direction: Direction::Compress, data, container });
            }
            continue;
        };
        for _ in 0..1 + random.below(5) {
            match running.job.step(&mut rig.port, &mut queue.engine) {
                Step::Progress => {}
                Step::Stalled(tag) => {
                    rig.port.resolve(tag);
                    running.job.resume(Verdict::Retry);
                }
                Step::Done(_) => break,
            }
        }
        let Some(completion) = running.job.completion() else { continue };
        let (data, produced) = (&running.data, completion.produced as usize);
        if running.direction == Direction::Compress {
            let expected = if produced > data.len() { Status::NEGATIVE_COMPRESSION } else { Status::SUCCESS };
            assert_eq!((completion.status, completion.consumed as usize), (expected, data.len()));
            rig.poke(left, &[0xee; ROOM]);
            let entry = flat(running.container, right, produced, left, ROOM).encode();
            running.job = Job::start(entry.0, Direction::Decompress, WHO);
            running.direction = Direction::Decompress;
        } else {
            assert_eq!((completion.status, produced), (Status::SUCCESS, data.len()));
            assert!(rig.peek(left, produced) == *data && rig.guard_is_intact(left, ROOM) && rig.guard_is_intact(right, ROOM));
            queue.running = None;
            back += 1;
        }
    }
}
