//! Exceptions taken to EL1.

use hal::{Access, AccessKind, Esr, ExceptionClass};
use hal_aarch64::{ContextFrame, sysreg, vectors::Source};

use crate::syscall::{self, Outcome};
use crate::task::{self, Exit, Next, Reason};
use crate::{counters, enter, interrupts, space};

/// Called by the vectors with interrupts masked; what the frame holds on return is what runs next.
#[unsafe(no_mangle)]
extern "C" fn el1_exception(frame: &mut ContextFrame, source: u64) {
    counters::count(source);
    let next = match Source::from_vector(source) {
        Source::SyncLower => synchronous(frame),
        Source::IrqLower => interrupt(frame),
        Source::IrqSame => {
            interrupts::handle_pending();
            Next::User
        }
        Source::StackOverflow => {
            panic!("EL1 stack overflow: sp {:#x}, FAR {:#x}, ELR {:#x}", frame.x[0], sysreg::far_el1(), frame.elr)
        }
        other => panic!("EL1 exception {other:?}: ESR {:#x}, FAR {:#x}, ELR {:#x}", sysreg::esr_el1(), sysreg::far_el1(), frame.elr),
    };
    if next == Next::Leave {
        enter::leave(frame);
    }
}

fn interrupt(frame: &mut ContextFrame) -> Next {
    task::count_exception(false, true);
    interrupts::handle_pending();
    if task::should_switch() {
        return task::schedule(frame, Reason::Yield);
    }
    task::arm_timer();
    Next::User
}

fn synchronous(frame: &mut ContextFrame) -> Next {
    let esr = Esr(sysreg::esr_el1());
    let class = esr.class();
    let is_call = class == ExceptionClass::SVC;
    task::count_exception(is_call, false);
    match class {
        ExceptionClass::SVC => call(frame),
        ExceptionClass::DATA_ABORT_LOWER => {
            let abort = esr.data_abort();
            let access = match abort.access() {
                Access::Read => AccessKind::Read,
                Access::Write => AccessKind::Write,
            };
            let may_be_resolved = abort.status().is_translation() || abort.status().is_permission();
            page_fault(frame, class, access, may_be_resolved && !abort.is_far_invalid())
        }
        _ => kill(frame, class),
    }
}

fn call(frame: &mut ContextFrame) -> Next {
    match syscall::call(frame) {
        Outcome::Return(value) => {
            frame.x[0] = value as u64;
            Next::User
        }
        Outcome::Yield => {
            frame.x[0] = 0;
            if task::has_ready() { task::schedule(frame, Reason::Yield) } else { Next::User }
        }
        Outcome::Block(pending) => {
            let deadline = pending.deadline();
            task::with_current(|_, task| task.pending = Some(pending));
            task::schedule(frame, Reason::Sleep(deadline))
        }
        Outcome::Exec { entry } => {
            task::begin_program(frame, entry);
            Next::User
        }
        Outcome::Fork { space } => {
            frame.x[0] = u64::from(task::adopt_copy(frame, space).0);
            Next::User
        }
        Outcome::Exit(code) => {
            task::end_current(Exit::Code(code));
            task::schedule(frame, Reason::Ended)
        }
    }
}

fn page_fault(frame: &mut ContextFrame, class: ExceptionClass, access: AccessKind, may_be_resolved: bool) -> Next {
    let space = task::with_current(|_, task| task.space);
    if may_be_resolved && space::resolve_cpu_fault(space, sysreg::far_el1(), access).is_ok() {
        return Next::User;
    }
    kill(frame, class)
}

fn kill(frame: &mut ContextFrame, class: ExceptionClass) -> Next {
    let address = match class {
        ExceptionClass::DATA_ABORT_LOWER | ExceptionClass::INSTRUCTION_ABORT_LOWER | ExceptionClass::PC_ALIGNMENT => sysreg::far_el1(),
        _ => 0,
    };
    task::end_current(Exit::Killed { class: class.0, pc: frame.elr, address });
    task::schedule(frame, Reason::Ended)
}
