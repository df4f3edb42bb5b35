//! Requests per second and instructions per request, by the number of queues.

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hal::{AllocError, Barriers, Clock, DmaBuffer, DmaError, DmaMapper, DmaPort, Iova, QueueId, RegisterWindow, Requester, StreamId};
use qm_driver::{Engine, Parameters, Qm, Timeouts};
use qm_model::{Bar, QmConfig, QmModel};
use qm_spec::QmVersion;

/// Queues of each line of the table.
const QUEUES: [u16; 4] = [1, 8, 64, 1024];
/// Entries of every ring.
const DEPTH: u16 = 64;
/// Most instructions that a request may cost with 1,024 queues, against one with 1 queue.
const INSTRUCTIONS: f64 = 1.1;
/// The same for time.
const TIME: f64 = 2.0;
/// Requests of a timed run.
const REQUESTS: u64 = 1 << 18;

type Model = QmModel<1024, 1>;

/// Flat memory from device address 0 on.
#[derive(Clone)]
struct Memory {
    words: Rc<Vec<Cell<u32>>>,
    next: Rc<Cell<usize>>,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        Self { words: Rc::new(vec![Cell::new(0); bytes / 4]), next: Rc::new(Cell::new(0x1_0000)) }
    }
    fn slice(&self, at: Iova, bytes: usize) -> Result<&[Cell<u32>], DmaError> {
        let from = at.0 as usize / 4;
        self.words.get(from..from + bytes / 4).ok_or(DmaError::Abort)
    }
}

impl DmaPort for Memory {
    fn read(&mut self, _: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        let words = self.slice(from, out.len())?;
        for (chunk, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *chunk = word.get().to_le_bytes();
        }
        Ok(())
    }
    fn write(&mut self, _: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        let words = self.slice(to, data.len())?;
        for (chunk, word) in data.as_chunks::<4>().0.iter().zip(words) {
            word.set(u32::from_le_bytes(*chunk));
        }
        Ok(())
    }
}

/// A block of it.
struct Buffer {
    memory: Memory,
    at: usize,
    len: usize,
}

impl Buffer {
    fn word(&self, offset: usize) -> &Cell<u32> {
        &self.memory.words[(self.at + offset) / 4]
    }
}

impl DmaBuffer for Buffer {
    fn device_address(&self) -> Iova {
        Iova(self.at as u64)
    }
    fn len_bytes(&self) -> usize {
        self.len
    }
    fn read8(&self, offset: usize) -> u8 {
        (self.word(offset).get() >> (8 * (offset % 4))) as u8
    }
    fn write8(&self, _: usize, _: u8) {
        unreachable!("the driver stores words")
    }
    fn read16(&self, offset: usize) -> u16 {
        (self.word(offset).get() >> (8 * (offset % 4))) as u16
    }
    fn write16(&self, _: usize, _: u16) {
        unreachable!("the driver stores words")
    }
    fn read32(&self, offset: usize) -> u32 {
        self.word(offset).get()
    }
    fn write32(&self, offset: usize, value: u32) {
        self.word(offset).set(value);
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from(self.word(offset).get()) | u64::from(self.word(offset + 4).get()) << 32
    }
    fn write64(&self, offset: usize, value: u64) {
        self.word(offset).set(value as u32);
        self.word(offset + 4).set((value >> 32) as u32);
    }
}

impl Barriers for Memory {
    fn dma_wmb(&self) {}
    fn dma_rmb(&self) {}
}

impl DmaMapper for Memory {
    type Buffer = Buffer;
    fn alloc(&self, len_bytes: usize, align: usize) -> Result<Buffer, AllocError> {
        let at = self.next.get().next_multiple_of(align.max(4));
        let end = at + len_bytes.next_multiple_of(4);
        if end > self.words.len() * 4 {
            return Err(AllocError::OutOfMemory);
        }
        self.next.set(end);
        Ok(Buffer { memory: self.clone(), at, len: len_bytes })
    }
    fn free(&self, _: Buffer) {}
}

/// The real clock.
struct Wall(Instant);

impl Clock for Wall {
    fn now_ticks(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
    fn ticks_per_second(&self) -> u64 {
        1_000_000
    }
    fn relax(&self) {}
}

#[derive(Clone)]
struct Window {
    model: Rc<RefCell<Box<Model>>>,
    memory: Memory,
    bar: Bar,
}

impl RegisterWindow for Window {
    fn read32(&self, offset: u64) -> u32 {
        self.model.borrow_mut().mmio_read(self.bar, offset, 4) as u32
    }
    fn write32(&self, offset: u64, value: u32) {
        self.model.borrow_mut().mmio_write(self.bar, offset, 4, value.into(), &mut self.memory.clone());
    }
    fn read64(&self, offset: u64) -> u64 {
        self.model.borrow_mut().mmio_read(self.bar, offset, 8)
    }
    fn write64(&self, offset: u64, value: u64) {
        self.model.borrow_mut().mmio_write(self.bar, offset, 8, value, &mut self.memory.clone());
    }
    fn write128(&self, offset: u64, low: u64, high: u64) {
        self.model.borrow_mut().mmio_write128(offset, low, high, &mut self.memory.clone());
    }
}

/// A driver with started queues over a model.
struct Bench {
    driver: Box<Qm<Window, Wall, Memory, 1024>>,
    model: Rc<RefCell<Box<Model>>>,
    memory: Memory,
    queues: Vec<QueueId>,
}

impl Bench {
    fn new(queues: u16) -> Self {
        let mut config = QmConfig::new(QmVersion::V3, StreamId(8), 0xa250);
        config.capability.queue_depths = u32::from(DEPTH) | u32::from(DEPTH) << 16;
        config.engine_capabilities = &[(0x3130, 0x1ffe)];
        let memory = Memory::new(64 << 20);
        let model = Rc::new(RefCell::new(Box::new(Model::new(config))));
        // Bus master and memory decode.
        model.borrow_mut().config_write(4, 2, 6, &mut memory.clone());
        let window = |bar| Window { model: model.clone(), memory: memory.clone(), bar };
        let parameters = Parameters {
            version: QmVersion::V3,
            queues: queues.max(2),
            page_bytes: 4096,
            engine: Engine { log2_sqe_bytes: 7, alg_types: 2, algorithms: "null" },
            doorbell_pages: None,
            timeouts: Timeouts::default(),
        };
        let (registers, pages) = (window(Bar::Bar2), window(Bar::Bar4));
        let mut driver = Box::new(Qm::new(parameters, registers, Some(pages), Wall(Instant::now()), memory.clone()));
        driver.initialise().expect("initialise");
        driver.start().expect("start");
        let queues = (0..queues).map(|_| driver.get_queue(None).expect("queue")).collect::<Vec<_>>();
        for queue in &queues {
            driver.start_queue(*queue).expect("start");
        }
        Self { driver, model, memory, queues }
    }

    /// Runs `requests` requests, queues in turn.
    fn run(&mut self, requests: u64) {
        let mut sqe = [0u32; 32];
        for request in 0..requests {
            let queue = self.queues[request as usize % self.queues.len()];
            sqe[0] = request as u32;
            self.driver.submit(queue, &sqe).expect("room");
            let mut model = self.model.borrow_mut();
            let mut task = model.next_task(&mut self.memory).expect("a task");
            task.sqe[1] = task.sqe[0].wrapping_add(1);
            model.complete(&task, &mut self.memory).expect("delivered");
            drop(model);
            let mut done = [0; 32];
            self.driver.poll_completion(queue, &mut done).expect("honest").expect("complete");
            assert_eq!(done[1], request as u32 + 1);
        }
    }
}

/// Instructions per request: the difference of two runs of this program under callgrind. `None` without valgrind.
fn instructions(queues: u16) -> Option<f64> {
    let count = |requests: u64| -> Option<f64> {
        let me = std::env::current_exe().ok()?;
        let done = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(me)
            .args(["run", &queues.to_string(), &requests.to_string()])
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1))?;
        collected.trim().parse().ok()
    };
    const FEW: u64 = 4096;
    Some((count(3 * FEW)? - count(FEW)?) / (2 * FEW) as f64)
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, run, queues, requests] = &words[..]
        && run == "run"
    {
        Bench::new(queues.parse().expect("queues")).run(requests.parse().expect("requests"));
        return;
    }
    let mut benches = QUEUES.map(Bench::new);
    let mut best = [Duration::MAX; QUEUES.len()];
    // Interleaved, so that whatever else the machine does falls on all alike.
    for _ in 0..9 {
        for (bench, best) in benches.iter_mut().zip(&mut best) {
            let start = Instant::now();
            bench.run(REQUESTS);
            *best = start.elapsed().min(*best);
        }
    }
    let counts = QUEUES.map(instructions);
    println!("queues   requests/s   instructions/request");
    for ((queues, best), count) in QUEUES.iter().zip(best).zip(counts) {
        let rate = REQUESTS as f64 / best.as_secs_f64();
        println!("{queues:>6} {rate:>12.0}   {}", count.map_or("no valgrind".to_owned(), |count| format!("{count:.1}")));
    }
    let time = best[3].as_secs_f64() / best[0].as_secs_f64();
    println!("from 1 to 1,024 queues: {time:.2} times the time (at most {TIME})");
    assert!(time <= TIME, "time is not flat");
    if let [Some(one), _, _, Some(many)] = counts {
        println!("from 1 to 1,024 queues: {:.3} times the instructions (at most {INSTRUCTIONS})", many / one);
        assert!(many / one <= INSTRUCTIONS, "instructions are not flat");
    }
}
