//! Statistics of the cores (E.3).

use hal::RegisterWindow;
use zip_spec::registers::{
    CONSUMED_BYTE, CORE_REGISTERS, COUNTER_CLEAR, Core, DONE_BD_NUM, GET_BD_NUM, GET_ERROR_BD, GET_RIGHT_BD, PRODUCED_BYTE,
    SOFT_CTRL_CNT_CLR_CE,
};

/// What one core has counted; all wrap at 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreStatistics {
    /// Requests received.
    pub received: u32,
    /// Requests that were well formed.
    pub right: u32,
    /// Requests that were not.
    pub error: u32,
    /// Well-formed requests that have ended.
    pub done: u32,
    /// Input bytes.
    pub consumed: u32,
    /// Output bytes.
    pub produced: u32,
}

/// Reads a core's statistics.
pub fn read_statistics(window: &impl RegisterWindow, core: Core) -> CoreStatistics {
    let read = |register: hal::RegInfo| window.read32(core.base() + register.offset);
    CoreStatistics {
        received: read(GET_BD_NUM.info),
        right: read(GET_RIGHT_BD.info),
        error: read(GET_ERROR_BD.info),
        done: read(DONE_BD_NUM.info),
        consumed: read(CONSUMED_BYTE.info),
        produced: read(PRODUCED_BYTE.info),
    }
}

/// Clears all statistics: clear-on-read on, one reading pass over every core's block, clear-on-read off. Absent cores read 0.
pub fn clear_statistics(window: &impl RegisterWindow) {
    SOFT_CTRL_CNT_CLR_CE.write(window, COUNTER_CLEAR::COUNTERS::SET + COUNTER_CLEAR::READ_ONLY_COUNTERS::SET);
    for core in Core::ALL {
        for register in CORE_REGISTERS {
            // The value is of no interest; reading clears it.
            let _ = window.read32(core.base() + register.offset);
        }
    }
    SOFT_CTRL_CNT_CLR_CE.set(window, 0);
}
