//! Literals and sequences: what the match finder found, without an entropy code behind it.
//!
//! [`Finder`] turns input into [`Event`]s: so many literals, then a match of a length at a distance. The literals themselves stay with the
//! caller, who has the input; so a run of literals may be longer than any buffer. [`repcode`] says how Zstandard writes a distance,
//! [`crate::lz4`] how a sequence lies in an LZ4 block.
//!
//! What is found depends on the input alone, not on how it was cut into steps: a place is looked at when as many bytes behind it are known as
//! a comparison reads, or when the input has ended.

pub mod repcode;

use crate::status::WINDOW_BYTES;

/// Shortest match.
pub const MATCH_MIN: usize = 4;
/// A slide moves 32 KiB of history and at most a lookahead; the rest is free for input.
const BUFFER_BYTES: usize = 96 * 1024;
const HASH_BITS: u32 = 14;
/// Bytes that two places are compared over when a match is chosen. The chosen one goes on for as long as it does.
const COMPARE_BYTES: usize = 256;
/// Bytes that must be known from a place on before it is looked at: a comparison, one place further for the lazy look, and what is kept
/// back at the end.
const LOOKAHEAD: usize = COMPARE_BYTES + 1 + TAIL_BYTES_MAX;
/// Most bytes that [`Params::tail_bytes`] may keep back.
const TAIL_BYTES_MAX: usize = 15;
/// Candidates looked at per place with [`Effort::Thorough`].
const CHAIN: usize = 24;
/// A match as long as this is taken without a look at the next place.
const GOOD_BYTES: usize = 32;
/// With [`Effort::Fast`], after so many literals in a row (as a power of two) every second place is skipped, then two of three and so on.
const SKIP_LOG2: u32 = 6;
/// Longest way from one place to the next.
const SKIP_MAX: usize = 8;
/// Of a long match every so many positions are entered.
const SPARSE: usize = 16;
/// The count of positions begins again before it can overflow.
const ORIGIN_MAX: u32 = 1 << 31;

/// How much work goes into matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// One candidate per place, the first match taken.
    Fast,
    /// A chain of candidates, and a match gives way to a longer one at the next place.
    Thorough,
}

/// What matches may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Longest distance in bytes, 1 to 32768; 0 counts as 1, more as 32768.
    pub window_bytes: u32,
    /// How much work goes into matches.
    pub effort: Effort,
    /// Longest match in bytes, at least [`MATCH_MIN`]; what is longer becomes several.
    pub length_max: u32,
    /// Bytes at the end that are literals whatever they are, at most 15.
    pub tail_bytes: u8,
    /// Matches begin at least this many bytes before the end, at most 15; fewer than [`MATCH_MIN`] count as that.
    pub begin_bytes: u8,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All input was taken, and more is needed to go on.
    NeedInput,
    /// So many literals, then a copy of `length` bytes from `distance` bytes back.
    Match {
        /// Literals in front of the match.
        literals: u32,
        /// Length of the match in bytes.
        length: u32,
        /// How far back it reaches, in bytes.
        distance: u32,
    },
    /// The input has ended behind so many literals.
    End {
        /// Literals behind the last match.
        literals: u32,
    },
}

/// A match that has been chosen and may go on.
#[derive(Clone, Copy, Debug)]
struct Open {
    literals: u32,
    length: u32,
    distance: u32,
}

type Buffer = [u8; BUFFER_BYTES];

/// A match finder for one input at a time: about 224 KiB, a plain value.
pub struct Finder {
    params: Params,
    buffer: Buffer,
    /// Position of the buffer's first byte; positions begin at 1, so that 0 means none.
    origin: u32,
    /// The place to look at next.
    at: usize,
    /// End of what the buffer holds.
    end: usize,
    /// Literals since the last match.
    literals: u32,
    last_distance: u32,
    open: Option<Open>,
    /// Last position of each hash.
    heads: [u32; 1 << HASH_BITS],
    /// How far before each position the one with the same hash lies; 0 for none.
    chain: [u16; WINDOW_BYTES],
}

impl Default for Finder {
    fn default() -> Self {
        Self::new()
    }
}

impl Finder {
    /// Returns a finder that stands before an input, with the whole window and little effort.
    pub const fn new() -> Self {
        let params = Params {
            window_bytes: WINDOW_BYTES as u32,
            effort: Effort::Fast,
            length_max: u32::MAX,
            tail_bytes: 0,
            begin_bytes: MATCH_MIN as u8,
        };
        Finder {
            params,
            buffer: [0; BUFFER_BYTES],
            origin: 1,
            at: 0,
            end: 0,
            literals: 0,
            last_distance: 0,
            open: None,
            heads: [0; 1 << HASH_BITS],
            chain: [0; WINDOW_BYTES],
        }
    }

    /// Goes before a new input, with `history` in front of it: its last 32 KiB can be matched.
    pub fn reset(&mut self, params: Params, history: &[u8]) {
        self.params = Params {
            window_bytes: params.window_bytes.clamp(1, WINDOW_BYTES as u32),
            length_max: params.length_max.max(MATCH_MIN as u32),
            tail_bytes: params.tail_bytes.min(TAIL_BYTES_MAX as u8),
            begin_bytes: params.begin_bytes.clamp(MATCH_MIN as u8, TAIL_BYTES_MAX as u8),
            ..params
        };
        self.heads.fill(0);
        self.origin = 1;
        self.literals = 0;
        self.last_distance = 0;
        self.open = None;
        let history = &history[history.len().saturating_sub(WINDOW_BYTES)..];
        self.buffer[..history.len()].copy_from_slice(history);
        self.end = history.len();
        self.at = self.end;
        for at in 0..self.end.saturating_sub(MATCH_MIN - 1) {
            self.enter(at);
        }
    }

    /// Writes the last bytes of history and input, at most 32 KiB, to the front of `out`; returns how many.
    ///
    /// Of meaning behind [`Event::End`]. `out` shorter than that gets its own length.
    pub fn export_window(&self, out: &mut [u8]) -> usize {
        let len = self.end.min(WINDOW_BYTES).min(out.len());
        out[..len].copy_from_slice(&self.buffer[self.end - len..self.end]);
        len
    }

    /// Takes input up to the next event; returns how many bytes. With `is_last` the input ends behind these bytes.
    ///
    /// After [`Event::Match`] call again with the rest. After [`Event::End`] only [`Finder::reset`] is of use.
    pub fn step(&mut self, input: &[u8], is_last: bool) -> (usize, Event) {
        let mut taken = 0;
        loop {
            taken += self.fill(&input[taken..]);
            let is_all = is_last && taken == input.len();
            if let Some(event) = self.scan(is_all) {
                return (taken, event);
            }
            if taken == input.len() && !is_all {
                return (taken, Event::NeedInput);
            }
        }
    }

    /// Copies input behind what the buffer holds, sliding it when that frees much.
    fn fill(&mut self, input: &[u8]) -> usize {
        let gone = self.at.saturating_sub(WINDOW_BYTES);
        if input.len() > BUFFER_BYTES - self.end && gone >= WINDOW_BYTES / 2 {
            self.buffer.copy_within(gone..self.end, 0);
            self.at -= gone;
            self.end -= gone;
            self.origin += gone as u32;
            if self.origin > ORIGIN_MAX {
                self.heads.fill(0);
                self.origin = 1;
            }
        }
        let len = input.len().min(BUFFER_BYTES - self.end);
        self.buffer[self.end..self.end + len].copy_from_slice(&input[..len]);
        self.end += len;
        len
    }

    /// Looks from place to place until something is certain.
    fn scan(&mut self, is_all: bool) -> Option<Event> {
        if let Some(open) = self.open.take() {
            return self.extend(open, is_all);
        }
        let ahead = if is_all { usize::from(self.params.begin_bytes) } else { LOOKAHEAD };
        while self.at + ahead <= self.end {
            let Some((length, distance)) = self.choose() else {
                let step = match self.params.effort {
                    Effort::Fast => (1 + (self.literals >> SKIP_LOG2) as usize).min(SKIP_MAX).min(self.end - self.at),
                    Effort::Thorough => 1,
                };
                self.at += step;
                self.literals += step as u32;
                continue;
            };
            // Places that were skipped may belong to the match as well.
            let mut back = 0;
            while back < self.literals
                && self.at > (back as usize) + distance
                && self.buffer[self.at - back as usize - 1] == self.buffer[self.at - back as usize - 1 - distance]
                && length as u32 + back < self.params.length_max
            {
                back += 1;
            }
            let open = Open { literals: self.literals - back, length: length as u32 + back, distance: distance as u32 };
            self.pass(length);
            self.literals = 0;
            self.last_distance = open.distance;
            return self.extend(open, is_all);
        }
        if !is_all {
            return None;
        }
        self.literals += (self.end - self.at) as u32;
        self.at = self.end;
        Some(Event::End { literals: self.literals })
    }

    /// Goes on with a match; what is certain, or nothing while it may be longer than what is known.
    fn extend(&mut self, mut open: Open, is_all: bool) -> Option<Event> {
        let limit = self.end.saturating_sub(usize::from(self.params.tail_bytes));
        let most = (self.params.length_max - open.length) as usize;
        let max = limit.saturating_sub(self.at).min(most);
        let more = common(&self.buffer, self.at, self.at - open.distance as usize, max);
        // Every so often, four bytes behind, where what is entered is known however the input was cut.
        for at in self.at..self.at + more {
            if (self.origin as usize + at) % SPARSE == MATCH_MIN {
                self.enter(at - MATCH_MIN);
            }
        }
        self.at += more;
        open.length += more as u32;
        if more == max && more < most && !is_all {
            self.open = Some(open);
            return None;
        }
        Some(Event::Match { literals: open.literals, length: open.length, distance: open.distance })
    }

    /// Goes over the compared bytes of a match, entering their positions: all of a short match, the ends of a long one.
    fn pass(&mut self, length: usize) {
        let (from, to) = (self.at, self.at + length);
        let last = to.min(self.end.saturating_sub(MATCH_MIN - 1));
        let dense = (from + GOOD_BYTES).min(last);
        for at in from + 1..dense {
            self.enter(at);
        }
        for at in last.saturating_sub(2).max(dense)..last {
            self.enter(at);
        }
        self.at = to;
    }

    /// Chooses a match at the place at hand, or none. Enters the place.
    fn choose(&mut self) -> Option<(usize, usize)> {
        let found = self.longest(self.at);
        self.enter(self.at);
        let (length, distance) = found?;
        let is_last_place = self.at + 1 + usize::from(self.params.begin_bytes) > self.end;
        if self.params.effort == Effort::Fast || length >= GOOD_BYTES || is_last_place {
            return Some((length, distance));
        }
        match self.longest(self.at + 1) {
            Some((next, _)) if next > length + 1 => None,
            _ => Some((length, distance)),
        }
    }

    /// The longest match of the candidates of a place.
    fn longest(&self, at: usize) -> Option<(usize, usize)> {
        let max = self.end.saturating_sub(usize::from(self.params.tail_bytes)).saturating_sub(at).min(COMPARE_BYTES);
        let max = max.min(self.params.length_max as usize);
        if max < MATCH_MIN {
            return None;
        }
        let mut best: Option<(usize, usize)> = None;
        let mut consider = |distance: usize, bonus: usize| {
            let length = common(&self.buffer, at, at - distance, max);
            if length >= MATCH_MIN && best.is_none_or(|(longest, _)| length + bonus > longest) {
                best = Some((length, distance));
            }
        };
        let window = (self.params.window_bytes as usize).min(at);
        let mut candidate = self.heads[self.hash(at)];
        let position = self.origin + at as u32;
        let tries = if self.params.effort == Effort::Fast { 1 } else { CHAIN };
        for _ in 0..tries {
            // Position 0 is nobody's; a position that is not behind us was entered by the lazy look before this one.
            let distance = position.wrapping_sub(candidate) as usize;
            if candidate == 0 || distance == 0 || distance > window {
                break;
            }
            consider(distance, 0);
            let before = u32::from(self.chain[candidate as usize % WINDOW_BYTES]);
            if before == 0 {
                break;
            }
            candidate = candidate.wrapping_sub(before);
        }
        // The last distance is the cheapest to name: as long a match there is better.
        if self.last_distance != 0 && self.last_distance as usize <= window {
            consider(self.last_distance as usize, 1);
        }
        best
    }

    /// Enters a place with four bytes behind it.
    fn enter(&mut self, at: usize) {
        let position = self.origin + at as u32;
        let head = &mut self.heads[hash_of(&self.buffer, at)];
        // A place that was entered already, or one behind it with the same bytes.
        if *head >= position {
            return;
        }
        let before = position - *head;
        self.chain[position as usize % WINDOW_BYTES] = if *head == 0 || before > WINDOW_BYTES as u32 { 0 } else { before as u16 };
        *head = position;
    }

    fn hash(&self, at: usize) -> usize {
        hash_of(&self.buffer, at)
    }
}

fn hash_of(buffer: &Buffer, at: usize) -> usize {
    let four = u32::from_le_bytes([buffer[at], buffer[at + 1], buffer[at + 2], buffer[at + 3]]);
    (four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

fn eight(buffer: &Buffer, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&buffer[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// How many bytes from both places on are the same, at most `max`.
fn common(buffer: &Buffer, one: usize, other: usize, max: usize) -> usize {
    let mut len = 0;
    while len + 8 <= max {
        let differs = eight(buffer, one + len) ^ eight(buffer, other + len);
        if differs != 0 {
            return len + differs.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    while len < max && buffer[one + len] == buffer[other + len] {
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    const LZ4_LIKE: Params = Params { window_bytes: 32_768, effort: Effort::Fast, length_max: u32::MAX, tail_bytes: 5, begin_bytes: 12 };

    fn sample(len: usize) -> Vec<u8> {
        let mut seed = 9u64;
        let mut bytes = Vec::new();
        while bytes.len() < len {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = (seed >> 33) as usize;
            let length = 1 + value % 60 + if value % 97 == 0 { 700 } else { 0 };
            let distance = [1, 3, 4, 17, 300, 9000, 32_767, 32_768, 32_769][value / 64 % 9];
            for i in 0..length {
                let is_noise = bytes.len() < distance || value % 5 == 0;
                bytes.push(if is_noise { (seed >> (i % 50)) as u8 } else { bytes[bytes.len() - distance] });
            }
        }
        bytes.truncate(len);
        bytes
    }

    /// Runs a finder over input cut into pieces, checks each event, and returns them.
    fn events(params: Params, history: &[u8], input: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Event> {
        let mut finder = Box::new(Finder::new());
        finder.reset(params, history);
        let (mut at, mut events) = (0usize, Vec::new());
        loop {
            let end = input.len().min(at.saturating_add(piece()));
            let (taken, event) = finder.step(&input[at..end], end == input.len());
            assert!(taken <= end - at);
            at += taken;
            match event {
                Event::NeedInput => assert_eq!(at, end, "all was taken"),
                Event::Match { .. } => events.push(event),
                Event::End { .. } => {
                    events.push(event);
                    assert_eq!(at, input.len());
                    return events;
                }
            }
        }
    }

    /// What the events stand for.
    fn expand(params: Params, history: &[u8], input: &[u8], events: &[Event]) -> Vec<u8> {
        let mut out = history.to_vec();
        let mut from = 0;
        for event in events {
            match *event {
                Event::Match { literals, length, distance } => {
                    out.extend_from_slice(&input[from..from + literals as usize]);
                    assert!(length >= MATCH_MIN as u32 && length <= params.length_max && distance <= params.window_bytes);
                    assert!(out.len() - history.len() + usize::from(params.begin_bytes) <= input.len(), "begins too near the end");
                    for _ in 0..length {
                        out.push(out[out.len() - distance as usize]);
                    }
                    from += (literals + length) as usize;
                    assert!(from + usize::from(params.tail_bytes) <= input.len(), "reaches into the tail");
                }
                Event::End { literals } => {
                    out.extend_from_slice(&input[from..from + literals as usize]);
                    assert!(literals >= u32::from(params.tail_bytes).min(input.len() as u32));
                }
                Event::NeedInput => unreachable!(),
            }
        }
        out.split_off(history.len())
    }

    #[test]
    fn events_stand_for_the_input_however_it_is_cut() {
        let input = sample(300_000);
        for effort in [Effort::Fast, Effort::Thorough] {
            for params in [
                Params { effort, ..LZ4_LIKE },
                Params { effort, tail_bytes: 0, begin_bytes: 0, length_max: 65_538, window_bytes: 4096 },
                Params { effort, tail_bytes: 0, begin_bytes: 0, length_max: 4, window_bytes: 32_768 },
            ] {
                let whole = events(params, &[], &input, || usize::MAX);
                assert!(whole.len() > 1000, "{}", whole.len());
                assert!(expand(params, &[], &input, &whole) == input);
                for size in [1usize, 7, 1000, 65_536] {
                    let part = if size == 1 { &input[..20_000] } else { &input[..] };
                    let one = events(params, &[], part, || usize::MAX);
                    assert!(events(params, &[], part, || size) == one, "pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn short_inputs_and_runs() {
        for len in 0..40 {
            let zeros = &[0u8; 40][..len];
            let found = events(LZ4_LIKE, &[], zeros, || usize::MAX);
            assert!(expand(LZ4_LIKE, &[], zeros, &found) == zeros);
            // From 13 bytes on one literal can be followed by a match that ends five bytes before the end.
            assert_eq!(found.len() > 1, len >= 13, "{len}");
        }
        let zeros = std::vec![0u8; 1 << 20];
        let found = events(LZ4_LIKE, &[], &zeros, || 5000);
        assert_eq!(found, [Event::Match { literals: 1, length: (1 << 20) - 6, distance: 1 }, Event::End { literals: 5 }]);
    }

    #[test]
    fn history_is_matched_and_the_window_is_what_remains() {
        let input = sample(100_000);
        let (history, rest) = input.split_at(50_000);
        for effort in [Effort::Fast, Effort::Thorough] {
            let params = Params { effort, tail_bytes: 0, begin_bytes: 0, ..LZ4_LIKE };
            // A copy of noise is found at once, and whole.
            let mut seed = 3u64;
            let noise: Vec<u8> = (0..50_000)
                .map(|_| {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (seed >> 40) as u8
                })
                .collect();
            let copy = &noise[30_000..];
            let found = events(params, &noise, copy, || usize::MAX);
            assert!(expand(params, &noise, copy, &found) == copy);
            assert_eq!(found, [Event::Match { literals: 0, length: 20_000, distance: 20_000 }, Event::End { literals: 0 }]);
            let found = events(params, history, rest, || 777);
            assert!(expand(params, history, rest, &found) == rest);
        }
        let mut finder = Box::new(Finder::new());
        finder.reset(LZ4_LIKE, history);
        let mut at = 0;
        loop {
            let (taken, event) = finder.step(&rest[at..], true);
            at += taken;
            if matches!(event, Event::End { .. }) {
                break;
            }
        }
        let mut window = std::vec![0; WINDOW_BYTES];
        assert_eq!(finder.export_window(&mut window), WINDOW_BYTES);
        assert!(window == input[input.len() - WINDOW_BYTES..]);
    }

    #[test]
    fn more_effort_finds_more() {
        let input = sample(200_000);
        let literals = |effort| -> u64 {
            let found = events(Params { effort, ..LZ4_LIKE }, &[], &input, || usize::MAX);
            let sequences = found.len() as u64;
            let literals: u64 = found
                .iter()
                .map(|event| match event {
                    Event::Match { literals, .. } | Event::End { literals } => u64::from(*literals),
                    Event::NeedInput => 0,
                })
                .sum();
            literals + 3 * sequences
        };
        assert!(literals(Effort::Thorough) < literals(Effort::Fast));
    }
}
