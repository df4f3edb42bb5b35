//! DMA without an SMMU: IOVAs are physical addresses, pages can be told to abort or to stall.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hal::{Access, DmaError, DmaPort, Iova, Pa, PhysMemory, Requester, StallTag};

use super::HostMemory;

const PAGE: u64 = 4096;

/// What a page of a [`DirectPort`] does instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageRule {
    /// Every access ends with an abort.
    Abort,
    /// Every access stalls with this STAG until the rule is lifted.
    Stall(u16),
}

/// Sees a device's write on its way to memory, address and bytes, and may change it; false loses it.
type Tamper = Box<dyn FnMut(u64, &mut [u8]) -> bool>;

#[derive(Default)]
struct State {
    rules: BTreeMap<u64, PageRule>,
    log: Vec<(Requester, Access, u64, usize)>,
    tamper: Option<Tamper>,
}

/// A DMA port straight to memory; a clone shares rules and log.
#[derive(Clone)]
pub struct DirectPort {
    memory: HostMemory,
    state: Rc<RefCell<State>>,
}

impl DirectPort {
    /// Makes a port to `memory`.
    pub fn new(memory: &HostMemory) -> Self {
        Self { memory: memory.clone(), state: Rc::default() }
    }

    /// Sets or lifts the rule of the page that holds `at`.
    pub fn set_rule(&self, at: Iova, rule: Option<PageRule>) {
        let mut state = self.state.borrow_mut();
        match rule {
            Some(rule) => state.rules.insert(at.0 / PAGE, rule),
            None => state.rules.remove(&(at.0 / PAGE)),
        };
    }

    /// Lets `tamper` change or lose (false) what the device writes: a bus or a device that is broken. `None` heals.
    pub fn tamper(&self, tamper: Option<Tamper>) {
        self.state.borrow_mut().tamper = tamper;
    }

    /// Takes the accesses so far: who, which way, address, bytes.
    pub fn take_log(&self) -> Vec<(Requester, Access, u64, usize)> {
        std::mem::take(&mut self.state.borrow_mut().log)
    }

    fn check(&self, who: Requester, access: Access, at: Iova, len: usize) -> Result<(), DmaError> {
        let mut state = self.state.borrow_mut();
        state.log.push((who, access, at.0, len));
        let last = at.0.checked_add(len.max(1) as u64 - 1).ok_or(DmaError::Abort)?;
        match state.rules.range(at.0 / PAGE..=last / PAGE).next() {
            Some((_, PageRule::Abort)) => Err(DmaError::Abort),
            Some((_, PageRule::Stall(stag))) => Err(DmaError::Stalled(StallTag { stream: who.stream, stag: *stag })),
            None => Ok(()),
        }
    }
}

impl DmaPort for DirectPort {
    fn read(&mut self, who: Requester, from: Iova, out: &mut [u8]) -> Result<(), DmaError> {
        self.check(who, Access::Read, from, out.len())?;
        self.memory.read(Pa(from.0), out).map_err(|_| DmaError::Abort)
    }

    fn write(&mut self, who: Requester, to: Iova, data: &[u8]) -> Result<(), DmaError> {
        self.check(who, Access::Write, to, data.len())?;
        let tamper = self.state.borrow_mut().tamper.take();
        if let Some(mut tamper) = tamper {
            let mut data = data.to_vec();
            let arrives = tamper(to.0, &mut data);
            self.state.borrow_mut().tamper = Some(tamper);
            return if arrives { self.memory.write(Pa(to.0), &data).map_err(|_| DmaError::Abort) } else { Ok(()) };
        }
        self.memory.write(Pa(to.0), data).map_err(|_| DmaError::Abort)
    }
}
