//! Processes: what each is, who runs, who sleeps and why.
//!
//! One core, no preemption inside the kernel: interrupts are masked whenever this code runs. [`schedule`] is the only place that changes who
//! runs; it is called with an exception's frame, or with a fresh one by [`run_until_exit`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use firmware_kerncore::sched::RunQueue;
use hal::Clock;
use hal_aarch64::timer::VirtualTimer;
use hal_aarch64::{ContextFrame, GenericTimer, SpinLock, cpu};
use uacce_abi::{Counters, Entry, Errno, ProcessId};
use uacce_kernel::{QueueHandle, SpaceId};

use crate::files::Files;
use crate::syscall::{self, Pending};
use crate::{counters, enter, faults, interrupts, queues, smmu, space};

/// How long a process runs while others are ready, in nanoseconds.
static QUANTUM_NANOSECONDS: AtomicU64 = AtomicU64::new(10_000_000);

/// How much more of the core than others a process may have had and still be dispatched in turn, or have its devices' faults served.
const SLACK_PER_SECOND: u64 = 1000;

/// Exit code of a process that its parent has killed: 128 + 9, as a shell says it.
const KILLED: i32 = 137;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// By its own call.
    Code(i32),
    /// By an exception that nobody could resolve.
    Killed {
        /// ESR_EL1.EC.
        class: u8,
        /// The instruction.
        pc: u64,
        /// The address that it wanted, where there is one.
        address: u64,
    },
}

impl Exit {
    /// What the wait call returns, and the machine's exit status if the first process ended so: the code, or 128 + 11 as a shell says it.
    pub const fn status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Killed { .. } => 139,
        }
    }
}

/// A process.
pub(crate) struct Task {
    pub(crate) space: SpaceId,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) files: Files,
    pub(crate) pending: Option<Pending>,
    parent: Option<u32>,
    frame: ContextFrame,
    exceptions: u64,
    calls: u64,
    interrupts: u64,
    dispatches: u64,
    ended: Option<Exit>,
}

pub(crate) struct Tasks {
    tasks: BTreeMap<u32, Box<Task>>,
    queue: RunQueue,
    next: u32,
}

static TASKS: SpinLock<Tasks> = SpinLock::new(Tasks { tasks: BTreeMap::new(), queue: RunQueue::new(), next: 1 });
/// The process whose end [`run_until_exit`] waits for, 0 for none.
static WANTED: AtomicU32 = AtomicU32::new(0);
/// Processes that have not ended.
static LIVING: AtomicU32 = AtomicU32::new(0);
static TICK_IS_ON: AtomicBool = AtomicBool::new(true);
static QUANTUM_END: AtomicU64 = AtomicU64::new(0);

/// Switches the timer tick on or off. Without it a process runs until it ends, sleeps or yields; deadlines of sleepers still interrupt.
pub fn set_tick(is_on: bool) {
    TICK_IS_ON.store(is_on, Ordering::Relaxed);
}

/// Sets how long a process runs from its next turn on while others are ready; 10 ms to begin with.
pub fn set_quantum(quantum: Duration) {
    QUANTUM_NANOSECONDS.store(quantum.as_nanos() as u64, Ordering::Relaxed);
}

/// Makes a process that starts at `entry` with `x0` = `number`.
///
/// # Errors
/// `ENOMEM`.
pub fn spawn(name: &str, entry: Entry, number: u64, arguments: &str) -> Result<ProcessId, Errno> {
    spawn_child(None, name, entry, number, arguments)
}

pub(crate) fn spawn_child(parent: Option<u32>, name: &str, entry: Entry, number: u64, arguments: &str) -> Result<ProcessId, Errno> {
    let space = space::create()?;
    let mut frame = ContextFrame::user(entry as usize as u64, space::STACK_TOP);
    frame.x[0] = number;
    Ok(add(Task::new(space, name.to_string(), arguments.to_string(), parent, frame)))
}

impl Task {
    fn new(space: SpaceId, name: String, arguments: String, parent: Option<u32>, frame: ContextFrame) -> Self {
        Self {
            space,
            name,
            arguments,
            files: Files::default(),
            pending: None,
            parent,
            frame,
            exceptions: 0,
            calls: 0,
            interrupts: 0,
            dispatches: 0,
            ended: None,
        }
    }
}

fn add(task: Task) -> ProcessId {
    let mut tasks = TASKS.lock();
    let id = tasks.next;
    tasks.next += 1;
    tasks.tasks.insert(id, Box::new(task));
    LIVING.fetch_add(1, Ordering::Relaxed);
    tasks.queue.make_ready(id, GenericTimer.now_ticks());
    ProcessId(id)
}

/// The address space of a living process.
pub fn space_of(process: ProcessId) -> Option<SpaceId> {
    TASKS.lock().tasks.get(&process.0).filter(|task| task.ended.is_none()).map(|task| task.space)
}

/// Runs `f` on the running process.
///
/// # Panics
/// If none runs: exceptions of EL0 come from a process.
pub(crate) fn with_current<T>(f: impl FnOnce(u32, &mut Task) -> T) -> T {
    let mut tasks = TASKS.lock();
    let id = tasks.queue.running().expect("an exception of EL0 has a process");
    let task = tasks.tasks.get_mut(&id).expect("the running process exists");
    f(id, task)
}

/// Notes an exception of the running process.
pub(crate) fn count_exception(is_call: bool, is_interrupt: bool) {
    with_current(|_, task| {
        task.exceptions += 1;
        task.calls += u64::from(is_call);
        task.interrupts += u64::from(is_interrupt);
    });
}

/// Counters of a process and of the kernel.
pub fn counters_of(process: ProcessId) -> Option<Counters> {
    let (space, mut counters) = {
        let tasks = TASKS.lock();
        let task = tasks.tasks.get(&process.0)?;
        let counters = Counters {
            el1_exceptions: task.exceptions,
            system_calls: task.calls,
            interrupts: task.interrupts,
            dispatches: task.dispatches,
            ..Counters::default()
        };
        (task.space, counters)
    };
    let of_space = space::counters(space);
    counters.cpu_page_faults = of_space.cpu_faults;
    counters.device_page_faults = of_space.device_faults;
    counters.device_faults_refused = of_space.device_refusals;
    counters.resident_pages = of_space.resident;
    counters.page_copies = of_space.copies;
    counters.kernel_el1_exceptions = counters::total_exceptions();
    counters.kernel_smmu_events = smmu::event_count();
    counters.kernel_smmu_invalidations = smmu::invalidation_count();
    Some(counters)
}

/// Wakes the processes that poll one of these queues. They look for themselves whether there is something for them.
pub(crate) fn wake_pollers(handles: &[QueueHandle]) {
    let mut tasks = TASKS.lock();
    let Tasks { tasks, queue, .. } = &mut *tasks;
    for (id, task) in tasks.iter() {
        if matches!(task.pending, Some(Pending::Poll { .. })) && task.files.queues().any(|handle| handles.contains(&handle)) {
            queue.make_ready(*id, GenericTimer.now_ticks());
        }
    }
}

/// Wakes every process that polls: some queue has died.
pub(crate) fn wake_all_pollers() {
    let mut tasks = TASKS.lock();
    let Tasks { tasks, queue, .. } = &mut *tasks;
    for (id, task) in tasks.iter() {
        if matches!(task.pending, Some(Pending::Poll { .. })) {
            queue.make_ready(*id, GenericTimer.now_ticks());
        }
    }
}

/// How an ended child ended; its parent forgets it.
///
/// # Errors
/// `ECHILD` if the caller has no such child, `EAGAIN` while it lives.
pub(crate) fn reap(parent: u32, child: ProcessId) -> Result<Exit, Errno> {
    let mut tasks = TASKS.lock();
    let task = tasks.tasks.get(&child.0).filter(|task| task.parent == Some(parent)).ok_or(Errno::ECHILD)?;
    let exit = task.ended.ok_or(Errno::EAGAIN)?;
    tasks.tasks.remove(&child.0);
    Ok(exit)
}

/// Ends the running process.
pub(crate) fn end_current(exit: Exit) {
    let id = with_current(|id, _| id);
    if let Exit::Killed { class, pc, address } = exit {
        let name = with_current(|_, task| task.name.clone());
        crate::print_line(format_args!("process {id} ({name}) killed: {} at pc {pc:#x}, address {address:#x}", syscall::class_name(class)));
    }
    end(id, exit);
}

/// Ends a process that does not run at the moment, wherever it was interrupted or what it waits for.
///
/// # Errors
/// `ESRCH` if there is none, or it has ended already.
pub fn kill(process: ProcessId) -> Result<(), Errno> {
    space_of(process).ok_or(Errno::ESRCH)?;
    end(process.0, Exit::Code(KILLED));
    Ok(())
}

/// Ends a living child of `parent` that does not run now.
///
/// # Errors
/// `ESRCH`.
pub(crate) fn kill_child(parent: u32, child: ProcessId) -> Result<(), Errno> {
    {
        let tasks = TASKS.lock();
        let is_child = tasks.tasks.get(&child.0).is_some_and(|task| task.parent == Some(parent) && task.ended.is_none());
        if !is_child {
            return Err(Errno::ESRCH);
        }
    }
    end(child.0, Exit::Code(KILLED));
    // Taking a space apart leaves the kernel's own table active.
    space::activate(with_current(|_, task| task.space));
    Ok(())
}

/// Takes a space and its queues away from its process, the queues first, while the memory still exists.
pub(crate) fn end_space(space_id: SpaceId) {
    space::begin_exit(space_id);
    queues::with_core(|core, spaces| core.space_exit(space_id, spaces));
    space::destroy(space_id);
}

/// Turns the running process's frame into the beginning of a program in the process's space.
pub(crate) fn begin_program(frame: &mut ContextFrame, entry: Entry) {
    *frame = ContextFrame::user(entry as usize as u64, space::STACK_TOP);
    space::activate(with_current(|_, task| task.space));
}

/// Makes a process of a copy of the running one's space: it returns from the same call, with 0.
pub(crate) fn adopt_copy(frame: &ContextFrame, space: SpaceId) -> ProcessId {
    let (parent, name, arguments, files) = with_current(|id, task| (id, task.name.clone(), task.arguments.clone(), task.files.inherited()));
    let mut frame = *frame;
    frame.x[0] = 0;
    let id = add(Task { files, ..Task::new(space, name, arguments, Some(parent), frame) });
    arm_timer();
    id
}

fn end(id: u32, exit: Exit) {
    let ended = TASKS.lock().tasks.get_mut(&id).map(|task| (task.space, core::mem::take(&mut task.files)));
    let Some((space_id, files)) = ended else { return };
    end_space(space_id);
    drop(files);
    let mut tasks = TASKS.lock();
    let Tasks { tasks, queue, .. } = &mut *tasks;
    queue.remove(id);
    // Children go on without it; those that ended already are forgotten with it.
    tasks.retain(|_, task| task.parent != Some(id) || task.ended.is_none());
    let mut parent = None;
    for (other, task) in tasks.iter_mut() {
        if task.parent == Some(id) {
            task.parent = Some(0);
        }
        if *other == id {
            task.ended = Some(exit);
            LIVING.fetch_sub(1, Ordering::Relaxed);
            parent = task.parent;
        }
    }
    match parent {
        // Nobody will ask.
        Some(0) => {
            tasks.remove(&id);
        }
        Some(parent) if tasks.get(&parent).is_some_and(|task| matches!(task.pending, Some(Pending::Wait { .. }))) => {
            queue.make_ready(parent, GenericTimer.now_ticks());
        }
        _ => {}
    }
}

/// Where an exception returns to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// To the process that the frame now holds.
    User,
    /// To the kernel's caller: the wanted process has ended.
    Leave,
}

/// Why the running process gives up the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Others are ready, and its time is up or it said so.
    Yield,
    /// It waits for what `pending` says, at most until this many ticks.
    Sleep(Option<u64>),
    /// It has ended; its frame is worth nothing.
    Ended,
}

/// Puts the running process away and another one into `frame`, waiting for interrupts while none is ready.
pub(crate) fn schedule(frame: &mut ContextFrame, reason: Reason) -> Next {
    if reason != Reason::Ended {
        with_current(|_, task| task.frame = *frame);
        let now = GenericTimer.now_ticks();
        let mut tasks = TASKS.lock();
        match reason {
            Reason::Yield => tasks.queue.preempt(now),
            Reason::Sleep(deadline) => tasks.queue.sleep(deadline, now),
            Reason::Ended => {}
        }
    }
    loop {
        let wanted = WANTED.load(Ordering::Relaxed);
        let dispatched = {
            let mut tasks = TASKS.lock();
            if wanted != 0 && tasks.tasks.get(&wanted).is_none_or(|task| task.ended.is_some()) {
                VirtualTimer.disarm();
                return Next::Leave;
            }
            let now = GenericTimer.now_ticks();
            tasks.queue.expire(now, |_| {});
            tasks.queue.dispatch(now, slack_ticks())
        };
        match dispatched {
            None => idle(),
            Some(_) => {
                if resume(frame) {
                    return Next::User;
                }
            }
        }
    }
}

/// Finishes what the dispatched process was waiting for, if it can be finished; then loads it. False if it sleeps on.
fn resume(frame: &mut ContextFrame) -> bool {
    let (space, pending) = with_current(|_, task| (task.space, task.pending.take()));
    // Results are written to the process's memory through its own table's addresses: no switch is needed for that.
    let outcome = pending.map(syscall::retry);
    match outcome {
        Some(syscall::Outcome::Block(pending)) => {
            let deadline = pending.deadline();
            with_current(|_, task| task.pending = Some(pending));
            TASKS.lock().queue.sleep(deadline, GenericTimer.now_ticks());
            return false;
        }
        Some(syscall::Outcome::Return(value)) => with_current(|_, task| task.frame.x[0] = value as u64),
        // None of these is waited for.
        Some(_) | None => {}
    }
    space::activate(space);
    with_current(|_, task| {
        task.dispatches += 1;
        *frame = task.frame;
    });
    QUANTUM_END.store(GenericTimer.deadline_ticks(Duration::from_nanos(QUANTUM_NANOSECONDS.load(Ordering::Relaxed))), Ordering::Relaxed);
    faults::serve_due();
    arm_timer();
    true
}

/// Sleeps until an interrupt pends and handles what there is, still masked: no exception is taken.
fn idle() {
    faults::serve_all();
    arm_timer();
    cpu::wfi();
    interrupts::handle_pending();
}

/// Arms the timer for whatever comes first: the end of the quantum if somebody else is ready, or a sleeper's deadline.
pub(crate) fn arm_timer() {
    let tasks = TASKS.lock();
    let sleeper = tasks.queue.next_deadline();
    let tick = TICK_IS_ON.load(Ordering::Relaxed) && tasks.queue.running().is_some() && tasks.queue.has_ready();
    let quantum = tick.then(|| QUANTUM_END.load(Ordering::Relaxed));
    match sleeper.into_iter().chain(quantum).chain(faults::next_look()).min() {
        Some(at) => VirtualTimer.arm(at),
        None => VirtualTimer.disarm(),
    }
}

/// After an interrupt of a running process: true if another one should run now.
pub(crate) fn should_switch() -> bool {
    let now = GenericTimer.now_ticks();
    let mut tasks = TASKS.lock();
    tasks.queue.expire(now, |_| {});
    TICK_IS_ON.load(Ordering::Relaxed) && tasks.queue.has_ready() && now >= QUANTUM_END.load(Ordering::Relaxed)
}

/// True if at most one process lives: nobody is there to share the core with.
pub(crate) fn is_alone() -> bool {
    LIVING.load(Ordering::Relaxed) <= 1
}

fn slack_ticks() -> u64 {
    GenericTimer.ticks_per_second() / SLACK_PER_SECOND
}

/// What a fault of a device in a process's space may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FaultShare {
    /// Whose time it is; `None`: what it takes is counted anyway, or for nobody.
    pub(crate) task: Option<u32>,
    /// It may be served now: its process runs, has not had its share, or nobody else wants the core.
    pub(crate) is_open: bool,
}

/// Whose time the service of a fault in this space is, and whether it is its turn.
pub(crate) fn fault_share(space: SpaceId) -> FaultShare {
    let nobodys = FaultShare { task: None, is_open: true };
    let Some(mut tasks) = TASKS.try_lock() else { return nobodys };
    let Tasks { tasks, queue, .. } = &mut *tasks;
    let runs = queue.running().and_then(|id| tasks.get(&id)).is_some_and(|task| task.space == space);
    // Between two runs of processes the kernel's caller has the core.
    if runs || WANTED.load(Ordering::Relaxed) == 0 {
        return nobodys;
    }
    match tasks.iter().find(|(_, task)| task.space == space && task.ended.is_none()) {
        Some((id, _)) => FaultShare { task: Some(*id), is_open: queue.may_spend(*id, GenericTimer.now_ticks(), slack_ticks()) },
        None => nobodys,
    }
}

/// Counts time that was spent for a process that does not run.
pub(crate) fn spend(task: u32, ticks: u64) {
    TASKS.lock().queue.spend(task, ticks);
}

/// True if somebody else is ready.
pub(crate) fn has_ready() -> bool {
    TASKS.lock().queue.has_ready()
}

/// Runs processes until `process` has ended; says how. Others stay where they are and go on in the next call.
///
/// # Errors
/// `ESRCH` if there is no such process, or a process waits for it already.
pub fn run_until_exit(process: ProcessId) -> Result<Exit, Errno> {
    if TASKS.lock().tasks.get(&process.0).is_none_or(|task| task.parent.is_some()) {
        return Err(Errno::ESRCH);
    }
    cpu::mask_interrupts();
    WANTED.store(process.0, Ordering::Relaxed);
    let mut frame = ContextFrame::user(0, 0);
    if schedule(&mut frame, Reason::Ended) == Next::User {
        enter::run(&frame);
    }
    WANTED.store(0, Ordering::Relaxed);
    // Nobody wants the core but the caller, whose business that is.
    faults::serve_all();
    crate::kernel_table::activate();
    TASKS.lock().tasks.remove(&process.0).and_then(|task| task.ended).ok_or(Errno::ESRCH)
}

/// Processes that have not ended.
pub fn living() -> Vec<ProcessId> {
    TASKS.lock().tasks.iter().filter(|(_, task)| task.ended.is_none()).map(|(id, _)| ProcessId(*id)).collect()
}

/// Ticks at a moment from now.
pub(crate) trait DeadlineTicks {
    /// The counter's value `after` from now.
    fn deadline_ticks(&self, after: Duration) -> u64;
}

impl<C: Clock> DeadlineTicks for C {
    fn deadline_ticks(&self, after: Duration) -> u64 {
        let ticks = after.as_nanos() * u128::from(self.ticks_per_second()) / 1_000_000_000;
        self.now_ticks().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}
