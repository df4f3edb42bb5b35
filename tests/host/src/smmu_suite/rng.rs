//! Numbers that repeat from run to run.

/// A source of numbers.
pub trait Draw {
    fn next(&mut self) -> u64;

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

/// A generator (xorshift); the seed is not 0.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

impl Draw for Rng {
    fn next(&mut self) -> u64 {
        Rng::next(self)
    }
}
