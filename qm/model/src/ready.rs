//! Which queues have something to run, served in turn.

const WORDS: usize = qm_spec::MAX_QUEUES as usize / 64;

/// A set of queue numbers with a cursor: taking is fair, and its cost does not depend on how many queues exist.
pub struct ReadySet {
    words: [u64; WORDS],
    /// One bit per word that is not zero.
    summary: u16,
    cursor: u16,
}

const _: () = assert!(WORDS <= 16);

impl ReadySet {
    pub const fn new() -> Self {
        Self { words: [0; WORDS], summary: 0, cursor: 0 }
    }

    #[inline(always)]
    pub fn set(&mut self, qn: u16, ready: bool) {
        let at = usize::from(qn) / 64 % WORDS;
        let bit = 1 << (qn % 64);
        if ready {
            self.words[at] |= bit;
            self.summary |= 1 << at;
        } else {
            self.words[at] &= !bit;
            if self.words[at] == 0 {
                self.summary &= !(1 << at);
            }
        }
    }

    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.summary == 0
    }

    /// Takes the first member at or after the cursor, going round once.
    pub fn take(&mut self) -> Option<u16> {
        let start = usize::from(self.cursor) / 64 % WORDS;
        let above = u64::MAX << (self.cursor % 64);
        for step in 0..=WORDS {
            let at = (start + step) % WORDS;
            let word = match step {
                0 => self.words[at] & above,
                WORDS => self.words[at] & !above,
                _ => self.words[at],
            };
            if word != 0 {
                let qn = (at * 64) as u16 + word.trailing_zeros() as u16;
                self.set(qn, false);
                self.cursor = (qn + 1) % qm_spec::MAX_QUEUES;
                return Some(qn);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_in_turn_and_forgets_what_is_cleared() {
        let mut set = ReadySet::new();
        for qn in [0, 5, 63, 64, 1023] {
            set.set(qn, true);
        }
        assert_eq!(set.take(), Some(0));
        set.set(0, true);
        assert_eq!(set.take(), Some(5));
        set.set(63, false);
        assert_eq!(set.take(), Some(64));
        assert_eq!(set.take(), Some(1023));
        assert_eq!(set.take(), Some(0));
        assert_eq!(set.take(), None);
        assert!(set.is_empty());
        set.set(3, true);
        set.set(2, true);
        assert_eq!((set.take(), set.take()), (Some(2), Some(3)));
        set.set(2, true);
        assert_eq!(set.take(), Some(2), "goes round inside one word");
    }
}
