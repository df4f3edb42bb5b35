//! The platform's reset of a device, called by SMC: see `hal::device_reset`. It fails or never ends where a test asks for that.

use firmware_platform::{ACCELERATOR_RID, DUMMY_RID};
use hal::device_reset::{ASK, BEGIN, BUSY, DONE, FAILED, INVALID_PARAMETERS};

use crate::state;

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

/// The service for one device.
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

    /// Answers a call; `reset` is the deed itself.
    fn answer(&mut self, wanted: u64, reset: impl FnOnce()) -> i64 {
        match wanted {
            BEGIN => self.begin(reset),
            ASK => self.ask(),
            _ => INVALID_PARAMETERS,
        }
    }

    fn begin(&mut self, reset: impl FnOnce()) -> i64 {
        match self.fault {
            ResetFault::Fails => {
                self.progress = Progress::Idle;
                return FAILED;
            }
            ResetFault::NeverEnds => self.progress = Progress::Stuck,
            ResetFault::None => {
                self.progress = Progress::UnderWay(ASKS);
                reset();
            }
        }
        BUSY
    }

    const fn ask(&mut self) -> i64 {
        match self.progress {
            Progress::Idle => FAILED,
            Progress::Stuck => BUSY,
            Progress::UnderWay(0) => {
                self.progress = Progress::Idle;
                DONE
            }
            Progress::UnderWay(left) => {
                self.progress = Progress::UnderWay(left - 1);
                BUSY
            }
        }
    }
}

/// Answers the call.
pub fn call(device: u64, wanted: u64) -> u64 {
    const ACCELERATOR: u64 = ACCELERATOR_RID as u64;
    const DUMMY: u64 = DUMMY_RID as u64;
    let mut silicon = state::lock();
    let silicon = &mut *silicon;
    let result = match device {
        ACCELERATOR => silicon.reset.answer(wanted, || {
            silicon.qm.reset();
            silicon.zip.reset();
        }),
        DUMMY if silicon.dummy.is_present() => {
            let (service, qm) = silicon.dummy.reset_parts();
            service.answer(wanted, || qm.reset())
        }
        _ => INVALID_PARAMETERS,
    };
    result as u64
}
