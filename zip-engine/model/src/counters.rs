//! Statistics of one core (E.3).

use zip_spec::registers::{
    BD_RD, BD_WR, CONSUMED_BYTE, DONE_BD_NUM, GET_BD_NUM, GET_BD_PARSE_ERR_NUM, GET_ERROR_BD, GET_RIGHT_BD, PRODUCED_BYTE, WORK_CYCLE,
};

/// What a core has counted. All wrap at 2^32, as the registers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Requests that were well formed.
    right: u32,
    /// Requests that were not.
    error: u32,
    /// Well-formed requests that have ended.
    done: u32,
    consumed: u32,
    produced: u32,
    /// Requests that run now: not a register, it routes.
    pub(crate) in_flight: u32,
}

impl Counters {
    pub(crate) const ZERO: Self = Self { right: 0, error: 0, done: 0, consumed: 0, produced: 0, in_flight: 0 };

    pub(crate) fn count_accepted(&mut self, is_well_formed: bool) {
        let counter = if is_well_formed { &mut self.right } else { &mut self.error };
        *counter = counter.wrapping_add(1);
        self.in_flight += 1;
    }

    pub(crate) fn count_retired(&mut self, is_well_formed: bool, consumed: u32, produced: u32) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if is_well_formed {
            self.done = self.done.wrapping_add(1);
            self.consumed = self.consumed.wrapping_add(consumed);
            self.produced = self.produced.wrapping_add(produced);
        }
    }

    /// The register at `offset` of the core's block. Time is not modelled: a cycle is a byte moved, and an idle core counts none.
    pub(crate) fn read(&self, offset: u64) -> u32 {
        let is = |register: hal::RegInfo| register.offset == offset;
        match offset {
            _ if is(GET_BD_NUM.info) | is(BD_RD.info) => self.right.wrapping_add(self.error),
            _ if is(GET_RIGHT_BD.info) => self.right,
            _ if is(GET_ERROR_BD.info) | is(GET_BD_PARSE_ERR_NUM.info) => self.error,
            _ if is(DONE_BD_NUM.info) | is(BD_WR.info) => self.done,
            _ if is(WORK_CYCLE.info) => self.consumed.wrapping_add(self.produced),
            _ if is(CONSUMED_BYTE.info) => self.consumed,
            _ if is(PRODUCED_BYTE.info) => self.produced,
            _ => 0,
        }
    }

    /// Clears what a read of `offset` clears while clear-on-read is on.
    pub(crate) fn clear(&mut self, offset: u64) {
        let is = |register: hal::RegInfo| register.offset == offset;
        match offset {
            // GET is the sum of the other two; it clears with them.
            _ if is(GET_RIGHT_BD.info) => self.right = 0,
            _ if is(GET_ERROR_BD.info) => self.error = 0,
            _ if is(DONE_BD_NUM.info) => self.done = 0,
            _ if is(CONSUMED_BYTE.info) => self.consumed = 0,
            _ if is(PRODUCED_BYTE.info) => self.produced = 0,
            _ => {}
        }
    }
}
