//! Text to compress when no file is given: sentences from a small vocabulary, the same for the same seed.

const WORDS: [&str; 48] = [
    "the",
    "queue",
    "of",
    "a",
    "device",
    "is",
    "shared",
    "with",
    "process",
    "that",
    "opened",
    "it",
    "and",
    "no",
    "copy",
    "made",
    "address",
    "space",
    "page",
    "table",
    "fault",
    "stall",
    "resume",
    "ring",
    "doorbell",
    "window",
    "literal",
    "length",
    "distance",
    "block",
    "stream",
    "checksum",
    "engine",
    "core",
    "request",
    "completion",
    "phase",
    "bit",
    "barrier",
    "before",
    "after",
    "store",
    "load",
    "memory",
    "kernel",
    "user",
    "level",
    "register",
];

/// Fills `into` with the text of a seed.
pub(crate) fn fill(into: &mut [u8], seed: u64) {
    // An xorshift generator: any state but zero; the multiplication by an odd number is one to one.
    let mut seed = match seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d {
        0 => 1,
        state => state,
    };
    let mut at = 0;
    let mut words_in_sentence = 0;
    while at < into.len() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        // Skewed towards the front of the list, as words are.
        let pick = (seed % 48).min(seed >> 20 & 63) as usize;
        words_in_sentence += 1;
        let is_last = words_in_sentence > 6 && seed >> 40 & 7 == 0;
        for byte in WORDS[pick].bytes().chain(if is_last { ".\n" } else { " " }.bytes()) {
            if let Some(slot) = into.get_mut(at) {
                *slot = byte;
            }
            at += 1;
        }
        if is_last {
            words_in_sentence = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_is_full_repeatable_and_no_run() {
        let (mut one, mut two) = ([0; 5000], [0xff; 5000]);
        super::fill(&mut one, 0);
        super::fill(&mut two, 1);
        assert_ne!(one, two);
        super::fill(&mut two, 0);
        assert_eq!(one, two);
        assert!(one.iter().all(|byte| byte.is_ascii()));
        assert!(one.split(|byte| *byte == b'\n').count() > 30);
    }
}
