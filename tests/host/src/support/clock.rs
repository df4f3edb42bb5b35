//! A clock that moves only when somebody looks at it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hal::Clock;

type Hook = Box<dyn FnMut()>;

struct State {
    now: Cell<u64>,
    relax_ticks: Cell<u64>,
    on_relax: RefCell<Option<Hook>>,
}

/// A clock of 1 MHz: reading it takes 1 tick, one turn of a spin loop 50. A clone is another handle.
#[derive(Clone)]
pub struct FakeClock {
    state: Rc<State>,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self { state: Rc::new(State { now: Cell::new(0), relax_ticks: Cell::new(50), on_relax: RefCell::new(None) }) }
    }
}

impl FakeClock {
    /// Makes a clock at 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Microseconds so far.
    pub fn micros(&self) -> u64 {
        self.state.now.get()
    }

    /// Lets `micros` pass.
    pub fn advance(&self, micros: u64) {
        self.state.now.set(self.state.now.get() + micros);
    }

    /// Sets what one turn of a spin loop costs.
    pub fn set_relax_micros(&self, micros: u64) {
        self.state.relax_ticks.set(micros);
    }

    /// Calls `hook` on every turn of a spin loop: where a slow device makes progress.
    pub fn on_relax(&self, hook: impl FnMut() + 'static) {
        *self.state.on_relax.borrow_mut() = Some(Box::new(hook));
    }
}

impl Clock for FakeClock {
    fn now_ticks(&self) -> u64 {
        self.advance(1);
        self.state.now.get()
    }

    fn ticks_per_second(&self) -> u64 {
        1_000_000
    }

    fn relax(&self) {
        self.advance(self.state.relax_ticks.get());
        // Taken out for the call, so that a hook which itself spins does not enter twice.
        let hook = self.state.on_relax.borrow_mut().take();
        if let Some(mut hook) = hook {
            hook();
            *self.state.on_relax.borrow_mut() = Some(hook);
        }
    }
}
