//! How Zstandard names distances and classes of lengths (RFC 8878 §3.1.1.3.2.1 and §3.1.1.5).

/// The three last distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repcodes(pub [u32; 3]);

impl Default for Repcodes {
    /// The distances before the first sequence of a frame.
    fn default() -> Self {
        Repcodes([1, 4, 8])
    }
}

/// Added to a distance that is none of the last three.
const NEW: u32 = 3;

impl Repcodes {
    /// Returns the offset value of a distance in a sequence with so many literals, and remembers the distance.
    ///
    /// 1 to 3 name one of the last distances, by other numbers where there are no literals; what is more is the distance and 3.
    pub fn value_of(&mut self, distance: u32, literals: u32) -> u32 {
        let [first, second, third] = self.0;
        if literals != 0 {
            match distance {
                _ if distance == first => 1,
                _ if distance == second => self.recall(2, [second, first, third]),
                _ if distance == third => self.recall(3, [third, first, second]),
                _ => self.recall(distance + NEW, [distance, first, second]),
            }
        } else {
            match distance {
                _ if distance == second => self.recall(1, [second, first, third]),
                _ if distance == third => self.recall(2, [third, first, second]),
                _ if first > 1 && distance == first - 1 => self.recall(3, [distance, first, second]),
                _ => self.recall(distance + NEW, [distance, first, second]),
            }
        }
    }

    /// Returns `value` and keeps what the last distances are now.
    fn recall(&mut self, value: u32, now: [u32; 3]) -> u32 {
        self.0 = now;
        value
    }
}

/// Number of literal length codes.
pub const LITERAL_CODES: usize = 36;
/// Number of match length codes.
pub const MATCH_CODES: usize = 53;
/// Number of offset codes that the format can name.
pub const OFFSET_CODES: usize = 32;

/// First length of each literal length code from 16 on.
const LITERAL_BASES: [u32; 20] = [16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
/// First length of each match length code from 32 on.
const MATCH_BASES: [u32; 21] = [35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16_387, 32_771, 65_539];

/// Returns the code of a literal length: 0 to 35.
pub fn literal_code(length: u32) -> usize {
    if length < 16 { length as usize } else { 15 + LITERAL_BASES.partition_point(|base| *base <= length) }
}

/// Returns the code of a match length of at least 3: 0 to 52.
pub fn match_code(length: u32) -> usize {
    if length < 35 { (length as usize).saturating_sub(3) } else { 31 + MATCH_BASES.partition_point(|base| *base <= length) }
}

/// Returns the code of an offset value, which must not be 0: 0 to 31.
pub fn offset_code(value: u32) -> usize {
    31 - value.max(1).leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_distances_are_named_as_in_the_table_of_the_format() {
        // The example of RFC 8878 §3.1.1.5, with distances that are new: 1111, 22, then what the rules make of repeats.
        let mut repcodes = Repcodes::default();
        assert_eq!(repcodes.value_of(1111, 11), 1114);
        assert_eq!(repcodes.0, [1111, 1, 4]);
        assert_eq!(repcodes.value_of(1, 22), 2);
        assert_eq!(repcodes.0, [1, 1111, 4]);
        assert_eq!(repcodes.value_of(2222, 22), 2225);
        assert_eq!(repcodes.0, [2222, 1, 1111]);
        assert_eq!(repcodes.value_of(1111, 111), 3);
        assert_eq!(repcodes.0, [1111, 2222, 1]);
        assert_eq!(repcodes.value_of(1111, 1), 1);
        assert_eq!(repcodes.0, [1111, 2222, 1]);
        // Without literals the numbers shift, and 3 is one less than the last.
        assert_eq!(repcodes.value_of(2222, 0), 1);
        assert_eq!(repcodes.0, [2222, 1111, 1]);
        assert_eq!(repcodes.value_of(1, 0), 2);
        assert_eq!(repcodes.0, [1, 2222, 1111]);
        assert_eq!(repcodes.value_of(2222, 0), 1);
        assert_eq!(repcodes.value_of(2221, 0), 3);
        assert_eq!(repcodes.0, [2221, 2222, 1]);
        // The last distance itself has no number then.
        assert_eq!(repcodes.value_of(2221, 0), 2224);
        assert_eq!(repcodes.0, [2221, 2221, 2222]);
    }

    #[test]
    fn codes_of_lengths_and_offsets() {
        // Rows of the tables of RFC 8878 §3.1.1.3.2.1.1.
        let literals =
            [(0, 0), (15, 15), (16, 16), (17, 16), (18, 17), (23, 19), (24, 20), (27, 20), (63, 24), (64, 25), (65_536, 35), (131_071, 35)];
        assert!(literals.iter().all(|(length, code)| literal_code(*length) == *code));
        let matches = [(3, 0), (34, 31), (35, 32), (36, 32), (37, 33), (42, 35), (43, 36), (131, 43), (258, 43), (259, 44), (65_539, 52)];
        assert!(matches.iter().all(|(length, code)| match_code(*length) == *code));
        assert_eq!([1, 2, 3, 4, 7, 8, 0x8003].map(offset_code), [0, 1, 1, 2, 2, 3, 15]);
    }
}
