//! What the runner says when it cannot go on: one clear sentence and an exit code.

use std::fmt;

/// Exit code of a run that was ended by its time limit, as `timeout(1)` has it.
pub const EXIT_TIMED_OUT: u8 = 124;
/// Exit code of a run that was interrupted from the keyboard.
pub const EXIT_INTERRUPTED: u8 = 130;

/// A refusal: the sentence that the user sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong and, where there is one, the way out.
    pub sentence: String,
    /// The runner's exit code.
    pub code: u8,
}

impl Complaint {
    /// Makes a complaint that ends the runner with exit code 1.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: 1 }
    }

    /// Makes a complaint out of an operating system error about `what`.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// A result whose error is a sentence for the user.
pub type Outcome<T> = Result<T, Complaint>;
