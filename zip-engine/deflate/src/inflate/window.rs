//! The history ring: the last 32 KiB of output of earlier steps.

use crate::status::WINDOW_BYTES;

/// Ring of the last bytes written.
pub(super) struct Window {
    bytes: [u8; WINDOW_BYTES],
    /// Where the next byte goes.
    next: usize,
    /// How many bytes are valid, at most `WINDOW_BYTES`.
    filled: usize,
}

impl Window {
    pub(super) const fn new() -> Self {
        Window { bytes: [0; WINDOW_BYTES], next: 0, filled: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.next = 0;
        self.filled = 0;
    }

    /// Returns the number of bytes that a distance may reach back into.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Appends output; only its last 32 KiB matter.
    pub(super) fn push(&mut self, output: &[u8]) {
        let kept = &output[output.len().saturating_sub(WINDOW_BYTES)..];
        let (first, second) = kept.split_at(kept.len().min(WINDOW_BYTES - self.next));
        self.bytes[self.next..self.next + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.next = (self.next + kept.len()) % WINDOW_BYTES;
        self.filled = (self.filled + kept.len()).min(WINDOW_BYTES);
    }

    /// Copies `into.len()` bytes that begin `back` bytes before the end. `into.len() <= back <= filled`.
    pub(super) fn copy_back(&self, back: usize, into: &mut [u8]) {
        let start = (self.next + WINDOW_BYTES - back) % WINDOW_BYTES;
        let (first, second) = into.split_at_mut(into.len().min(WINDOW_BYTES - start));
        first.copy_from_slice(&self.bytes[start..start + first.len()]);
        second.copy_from_slice(&self.bytes[..second.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_of_any_size_leave_the_last_bytes() {
        let data: [u8; 100_000] = core::array::from_fn(|i| (i * 31 + i / 251) as u8);
        let mut window = Window::new();
        let mut at = 0;
        for (i, len) in [1, 5, 32_767, 2, 40_000, 0, 10_000, 17_000].into_iter().enumerate() {
            window.push(&data[at..at + len]);
            at += len;
            assert_eq!(window.filled(), at.min(WINDOW_BYTES), "push {i}");
            for back in [1, 2, 6, window.filled()] {
                if back <= window.filled() {
                    let mut got = [0; WINDOW_BYTES];
                    window.copy_back(back, &mut got[..back]);
                    assert_eq!(got[..back], data[at - back..at]);
                }
            }
        }
    }
}
