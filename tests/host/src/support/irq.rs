//! Interrupt lines that remember their edges.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hal::IrqLines;

/// Records edges per line; a clone is another handle of the same recorder.
#[derive(Clone, Default)]
pub struct IrqRecorder {
    edges: Rc<RefCell<BTreeMap<u32, u32>>>,
}

impl IrqRecorder {
    /// Takes the edges of `line` since the last call.
    pub fn take(&self, line: u32) -> u32 {
        self.edges.borrow_mut().remove(&line).unwrap_or(0)
    }

    /// Takes all edges: `(line, count)`.
    pub fn take_all(&self) -> Vec<(u32, u32)> {
        std::mem::take(&mut *self.edges.borrow_mut()).into_iter().collect()
    }
}

impl IrqLines for IrqRecorder {
    fn pulse(&mut self, line: u32) {
        *self.edges.borrow_mut().entry(line).or_insert(0) += 1;
    }
}
