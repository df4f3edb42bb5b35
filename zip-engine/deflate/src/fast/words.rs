//! Words for the safe code: what it could say itself, but what a strictly aligned target would then do in bytes, or by a call.

/// Returns the eight bytes from `at`, the first one lowest, if there are as many.
#[inline(always)]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word: &[u8; 8] = bytes.get(at..)?.first_chunk()?;
    // SAFETY: the eight bytes of `word`.
    Some(unsafe { super::load64(word.as_ptr()) })
}

/// Copies the first `len` entries to the `len` behind them; `len` is a power of two.
///
/// # Panics
/// When there are fewer than twice as many.
#[inline(always)]
pub(crate) fn double(entries: &mut [u32], len: usize) {
    let (from, to) = entries[..2 * len].split_at_mut(len);
    match len {
        // What is inlined as a few loads and stores.
        1 => to.copy_from_slice(&from[..1]),
        2 => copy_few::<2>(from, to),
        4 => copy_few::<4>(from, to),
        8 => copy_few::<8>(from, to),
        16 => copy_few::<16>(from, to),
        _ => {
            let (from, to) = (from.as_chunks::<BLOCK>().0, to.as_chunks_mut::<BLOCK>().0);
            copy_blocks(from, to);
        }
    }
}

/// Copies the first `N` entries.
#[inline(always)]
fn copy_few<const N: usize>(from: &[u32], to: &mut [u32]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
}

/// Entries that are copied at a time.
const BLOCK: usize = 32;

/// Copies blocks; the compiler would call `memcpy`, which on bare-metal targets copies word by word.
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
#[inline(always)]
fn copy_blocks(from: &[[u32; BLOCK]], to: &mut [[u32; BLOCK]]) {
    let blocks = from.len().min(to.len());
    if blocks == 0 {
        return;
    }
    // SAFETY: `blocks` times, at least once, 128 bytes are read and as many written, and both slices have as many blocks of 128 bytes. The registers are not used
    // otherwise.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldp {a:q}, {b:q}, [{from}], #32",
            "ldp {c:q}, {d:q}, [{from}], #32",
            "stp {a:q}, {b:q}, [{to}], #32",
            "stp {c:q}, {d:q}, [{to}], #32",
            "ldp {a:q}, {b:q}, [{from}], #32",
            "ldp {c:q}, {d:q}, [{from}], #32",
            "stp {a:q}, {b:q}, [{to}], #32",
            "stp {c:q}, {d:q}, [{to}], #32",
            "subs {blocks}, {blocks}, #1",
            "b.ne 2b",
            from = inout(reg) from.as_ptr() => _,
            to = inout(reg) to.as_mut_ptr() => _,
            blocks = inout(reg) blocks => _,
            a = out(vreg) _,
            b = out(vreg) _,
            c = out(vreg) _,
            d = out(vreg) _,
            options(nostack)
        );
    }
}

/// Copies blocks.
#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
#[inline(always)]
fn copy_blocks(from: &[[u32; BLOCK]], to: &mut [[u32; BLOCK]]) {
    to.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn entries_are_doubled_and_nothing_else_is_touched() {
        for bits in 0..=10 {
            let len = 1 << bits;
            let mut entries: std::vec::Vec<u32> = (0..4 * len).map(|i| i as u32).collect();
            double(&mut entries, len);
            for (i, &entry) in entries.iter().enumerate() {
                assert_eq!(entry as usize, if (len..2 * len).contains(&i) { i - len } else { i }, "{len}");
            }
        }
    }

    #[test]
    fn words_end_with_the_bytes() {
        let bytes: [u8; 10] = core::array::from_fn(|i| i as u8 + 1);
        assert_eq!(word_at(&bytes, 0), Some(0x0807_0605_0403_0201));
        assert_eq!(word_at(&bytes, 2), Some(0x0a09_0807_0605_0403));
        assert_eq!([word_at(&bytes, 3), word_at(&bytes, 10), word_at(&bytes, 11), word_at(&bytes, usize::MAX)], [None; 4]);
    }
}
