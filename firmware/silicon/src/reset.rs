//! The platform's reset of the accelerator, called by SMC: see `hal::device_reset`. It fails or never ends where a test asks for that.

use firmware_platform::ACCELERATOR_RID;
use hal::device_reset::{ASK, BEGIN, BUSY, DONE, FAILED, INVALID_PARAMETERS};

use crate::state::{self, Silicon};

/// How often a caller is told to ask again: software that does not ask must show.
const ASKS: u8 = 2;

/// How resets end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetFault {
    /// Well.
    None,
    /// The service reports a failure; the device was not touched.
    Fails,
    /// They begin and stay under way.
    NeverEnds,
}

/// Where a reset stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    /// None was begun.
    Idle,
    /// Its end shows after this many more questions.
    UnderWay(u8),
    /// It will not end.
    Stuck,
}

/// The service.
#[derive(Debug)]
pub struct ResetService {
    /// What is wrong with it.
    pub fault: ResetFault,
    progress: Progress,
}

impl ResetService {
    /// A service that works.
    pub const fn new() -> Self {
        Self { fault: ResetFault::None, progress: Progress::Idle }
    }
}

/// Answers the call.
pub fn call(device: u64, wanted: u64) -> u64 {
    if device != u64::from(ACCELERATOR_RID) {
        return INVALID_PARAMETERS as u64;
    }
    let mut silicon = state::lock();
    let result = match wanted {
        BEGIN => silicon.begin_reset(),
        ASK => silicon.ask_reset(),
        _ => INVALID_PARAMETERS,
    };
    result as u64
}

impl Silicon {
    fn begin_reset(&mut self) -> i64 {
        match self.reset.fault {
            ResetFault::Fails => {
                self.reset.progress = Progress::Idle;
                return FAILED;
            }
            ResetFault::NeverEnds => self.reset.progress = Progress::Stuck,
            ResetFault::None => {
                self.reset.progress = Progress::UnderWay(ASKS);
                self.qm.reset();
                self.zip.reset();
            }
        }
        BUSY
    }

    const fn ask_reset(&mut self) -> i64 {
        match self.reset.progress {
            Progress::Idle => FAILED,
            Progress::Stuck => BUSY,
            Progress::UnderWay(0) => {
                self.reset.progress = Progress::Idle;
                DONE
            }
            Progress::UnderWay(left) => {
                self.reset.progress = Progress::UnderWay(left - 1);
                BUSY
            }
        }
    }
}
