//! The register file at one moment, and what changed between two (B.10): a controller reset's "last words".

use hal::{Clock, DmaMapper, RegInfo, RegisterWindow};
use qm_spec::regs::{am, function, pf};

use crate::{Qm, Role};

const TABLES: [&[RegInfo]; 3] = [function::REGISTERS, pf::REGISTERS, am::REGISTERS];
const LEN: usize = function::REGISTERS.len() + pf::REGISTERS.len() + am::REGISTERS.len();

/// Every named 32-bit register of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    words: [u32; LEN],
}

/// A register that differs between two snapshots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The register.
    pub register: &'static RegInfo,
    /// Its word before.
    pub before: u32,
    /// Its word after.
    pub after: u32,
}

fn registers() -> impl Iterator<Item = &'static RegInfo> {
    TABLES.into_iter().flatten()
}

impl Snapshot {
    /// Registers and their words, in the order of the map.
    pub fn registers(&self) -> impl Iterator<Item = (&'static RegInfo, u32)> + '_ {
        registers().zip(self.words)
    }

    /// What is different in `later`.
    pub fn differences<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = Difference> + 'a {
        registers()
            .zip(self.words.iter().zip(&later.words))
            .filter(|(_, (before, after))| before != after)
            .map(|(register, (before, after))| Difference { register, before: *before, after: *after })
    }

    /// The word of the register at an offset.
    pub fn at(&self, offset: u64) -> Option<u32> {
        self.registers().find(|(register, _)| register.offset == offset).map(|(_, word)| word)
    }
}

impl<W: RegisterWindow, C: Clock, M: DmaMapper, const QUEUES: usize> Qm<W, C, M, QUEUES> {
    /// Reads every named register of the function; a virtual function has none of the device's, they show as 0. No read has a side effect while
    /// counters do not clear on read.
    pub fn snapshot(&self) -> Snapshot {
        let mut words = [0; LEN];
        for (word, register) in words.iter_mut().zip(registers()) {
            let reachable = self.role == Role::Physical || register.offset < qm_spec::regs::FUNCTION_AREA_END;
            if reachable && register.permission != hal::Permission::WriteOnly {
                *word = self.registers.read32(register.offset);
            }
        }
        Snapshot { words }
    }
}
