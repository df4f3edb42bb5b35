//! The monitor: what a field engineer asks a running accelerator. Registers and what changed since bring-up, errors by name, contexts of queues
//! beside what the driver believes, counters.

use hal::{DmaBuffer, DmaMapper, Iova, QueueId};
use qm_driver::{Clear, DeviceCounters, FunctionReport, QpState, QueueReport};
use qm_spec::regs::pf;
use zip_spec::registers::Core;
use zip_spec::{BufferType, Container, Mode, Request, Sqe, SqeType, Window};

use crate::accelerator::{self, Accelerator, with_qm};
use crate::dma::DomainMemory;
use crate::engines::EngineKind;

/// Error bits of the queue manager by name (B.7).
const ERRORS: [&str; 15] = [
    "AXI read response",
    "AXI write response",
    "multi-bit ECC",
    "single-bit ECC",
    "task not taken in time",
    "task not finished in time",
    "write-back not ready",
    "SQ and CQ invalid",
    "CQ invalid",
    "SQ invalid",
    "doorbell timeout",
    "FIFO overflow",
    "doorbell random data",
    "mailbox timeout",
    "FLR timeout",
];

/// Prints all of a function on the console; false if there is no such function.
pub fn dump(index: usize) -> bool {
    let Some(function) = accelerator::at(index) else { return false };
    let kind = match function.physical {
        None => "physical",
        Some(_) => "virtual",
    };
    console_line!("== function {index}: {kind}, StreamID {}, node {:?}", function.connection.stream, function.node().map(|node| node.0));
    registers(function);
    contexts(function);
    counters(function);
    true
}

/// Named registers that are not 0, and those that are not as after bring-up.
fn registers(function: &Accelerator) {
    let now = function.qm.with_lock(|qm| qm.snapshot());
    console_line!("-- registers that are not 0");
    for (register, word) in now.registers().filter(|(_, word)| *word != 0) {
        console_line!("{:#08x} {:<28} {word:#010x}", register.offset, register.name);
    }
    let source = now.at(pf::ABNORMAL_INT_SOURCE.offset()).unwrap_or(0);
    for (bit, name) in ERRORS.iter().enumerate().filter(|(bit, _)| source >> bit & 1 == 1) {
        console_line!("   error {bit}: {name}");
    }
    let Some(before) = *function.first_words.lock() else { return };
    console_line!("-- changed since bring-up");
    for difference in before.differences(&now) {
        console_line!(
            "{:#08x} {:<28} {:#010x} -> {:#010x}",
            difference.register.offset,
            difference.register.name,
            difference.before,
            difference.after
        );
    }
}

/// Contexts of the event queues and of every queue that somebody has.
fn contexts(function: &Accelerator) {
    match function.qm.with_lock(|qm| qm.inspect_function()) {
        Ok(FunctionReport { state, queues: [free, taken, started, stopping], eqc, aeqc, heads }) => {
            console_line!("-- {state:?}: {free} queues free, {taken} taken, {started} started, {stopping} stopping");
            console_line!("EQC  {:08x?} {:?}, next read at {}", eqc.words, eqc.fields, heads[0]);
            console_line!("AEQC {:08x?} {:?}, next read at {}", aeqc.words, aeqc.fields, heads[1]);
        }
        Err(error) => console_line!("-- no contexts: {error:?}"),
    }
    for qn in 0..function.qm.with_lock(|qm| qm.queue_count()) {
        let queue = QueueId(qn);
        if function.qm.with_lock(|qm| qm.queue_state(queue)) == QpState::Free {
            continue;
        }
        match function.qm.with_lock(|qm| qm.inspect_queue(queue)) {
            Ok(report) => print_queue(&report),
            Err(error) => console_line!("queue {qn}: {error:?}"),
        }
    }
}

fn print_queue(report: &QueueReport) {
    let (submitted, unconsumed) = (report.submitted(), report.unconsumed());
    console_line!(
        "queue {}: {:?}, {submitted} submitted and not finished, {unconsumed} completions not consumed",
        report.queue.0,
        report.state
    );
    console_line!("SQC  {:08x?} {:?}", report.sqc.words, report.sqc.fields);
    console_line!("CQC  {:08x?} {:?}", report.cqc.words, report.cqc.fields);
}

/// The driver's counters, the part's, and the engine's.
fn counters(function: &Accelerator) {
    let of_driver = function.qm.with_lock(|qm| *qm.statistics());
    console_line!("-- {of_driver:?}");
    if function.physical.is_some() {
        return;
    }
    let of_part: Result<DeviceCounters, _> = function.qm.with_lock(|qm| qm.device_counters(0, Clear::No));
    if let Ok(of_part) = of_part {
        console_line!("{of_part:?}");
    }
    let cores: &[Core] = if function.engine.kind() == EngineKind::Zip { &Core::ALL } else { &[] };
    for core in cores {
        console_line!("{core:?}: {:?}", zip_driver::read_statistics(&function.registers, *core));
    }
}

/// Gives the first accelerator something to show: a queue of the kernel's own with three requests, two of whose completions are consumed. False if
/// it cannot be had.
pub(crate) fn exercise() -> bool {
    let Some(function) = accelerator::at(0) else { return false };
    let Ok(memory) = DomainMemory(function.connection.addresses).alloc(0x2000, 0x1000) else { return false };
    let source = memory.device_address();
    let request = Request {
        sqe_type: SqeType::TYPE3,
        request_type: Container::Zlib.request_type(),
        buffer_type: BufferType::FLAT,
        window: Window::K32,
        source,
        source_bytes: 256,
        source_offset: 0,
        destination: Iova(source.0 + 0x1000),
        destination_bytes: 0x1000,
        destination_offset: 0,
        mode: Mode::ONE_SHOT,
        tag: 1,
    };
    let sqe = request.encode();
    let queue = with_qm(0, |qm| {
        let queue = qm.get_queue(None).ok()?;
        qm.start_queue(queue).ok()?;
        for _ in 0..3 {
            qm.submit(queue, &sqe.0).ok()?;
        }
        Some(queue)
    });
    let Some(Some(queue)) = queue else { return false };
    let mut done = Sqe::ZERO;
    let mut consumed = 0;
    for _ in 0..1_000_000 {
        if with_qm(0, |qm| qm.poll_completion(queue, &mut done.0)) == Some(Ok(None)) {
            hal::Clock::relax(&accelerator::ServingClock);
            continue;
        }
        consumed += 1;
        if consumed == 2 {
            return true;
        }
    }
    false
}
