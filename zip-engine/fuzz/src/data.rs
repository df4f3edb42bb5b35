//! Random data of random structure. Shared with the host suites, which have no C libraries.

/// A repeatable source of numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// One of some numbers.
    pub fn one_of(&mut self, numbers: &[usize]) -> usize {
        numbers[self.below(numbers.len())]
    }

    /// A number below one of some.
    pub fn below_one_of(&mut self, limits: &[usize]) -> usize {
        let limit = self.one_of(limits);
        self.below(limit)
    }

    /// Noise.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A buffer of pieces: noise, few symbols, skewed symbols, runs, repeats from near and far, counters. At most `longest` bytes.
pub fn structured(random: &mut Random, longest: usize) -> Vec<u8> {
    let mut data = Vec::new();
    let pieces = random.below(80);
    let kinds = [random.below(8), random.below(8), random.below(8)];
    for _ in 0..pieces {
        let len = 1 + random.below_one_of(&[8, 90, 900, 9000]);
        match kinds[random.below(3)] {
            0 => data.extend(random.bytes(len)),
            1 => data.extend((0..len).map(|_| b'a' + random.below(6).min(random.below(6)) as u8)),
            2 => data.extend(std::iter::repeat_n(random.next() as u8, len)),
            // Weights of powers of two: long codewords.
            3 => data.extend((0..len).map(|_| (random.next() | 1 << 40).trailing_zeros() as u8)),
            4 => {
                let step = random.next() as u8;
                data.extend((0..len).map(|i| (i as u8).wrapping_mul(step)));
            }
            _ if data.is_empty() => data.push(random.next() as u8),
            kind => {
                let reach = if kind == 5 { 40 } else { 40_000 };
                let distance = 1 + random.below(data.len().min(reach));
                for _ in 0..len {
                    data.push(data[data.len() - distance]);
                }
            }
        }
    }
    data.truncate(longest);
    data
}
