//! The fast loops: the one place of this crate with `unsafe`.
//!
//! They read and write through pointers without a check per access. What makes that sound is slack: a round starts only while input and output have
//! at least as many bytes left as the round may touch, which each loop states and proves in its comments, and which debug builds assert. Where
//! there is less, the safe code does the work; it is also what the fast loops are compared with.

pub(crate) mod buckets;
pub(crate) mod chains;
#[cfg(target_arch = "x86_64")]
pub(crate) mod checksum;
pub(crate) mod entry;
pub(crate) mod find;
#[cfg(target_arch = "x86_64")]
mod find_x86;
pub(crate) mod inflate;
pub(crate) mod position;
pub(crate) mod put;
pub(crate) mod sequence;
pub(crate) mod split;
pub(crate) mod table;
pub(crate) mod together;
pub(crate) mod words;

/// Whether choices that are hard to guess are made by arithmetic: where a branch that is guessed wrong costs more than work for what is not chosen.
const BY_ARITHMETIC: bool = cfg!(target_arch = "x86_64");

/// Returns what it is given, about which the compiler then knows nothing: what follows from it is not worked out before it is needed, nor a second time.
#[inline(always)]
fn stay(value: usize) -> usize {
    #[cfg(target_arch = "aarch64")]
    {
        let same;
        // SAFETY: does nothing.
        unsafe { core::arch::asm!("/* {same} */", same = inout(reg) value => same, options(pure, nomem, nostack, preserves_flags)) };
        same
    }
    #[cfg(not(target_arch = "aarch64"))]
    value
}

/// Loads and stores of any alignment in one instruction, where the compiler would make one of every byte.
///
/// Bare-metal targets of aarch64 are compiled for strict alignment, which Device memory wants, and memory before the MMU is on. This crate works on Normal memory with
/// SCTLR_ELx.A clear, where LDR and STR take any address (Arm ARM, B2.15.2.1); its README says so.
#[cfg(all(target_arch = "aarch64", target_os = "none", target_endian = "little"))]
mod unaligned {
    use core::arch::asm;

    /// # Safety
    /// Eight bytes from `at` are readable.
    #[inline(always)]
    pub(super) unsafe fn load64(at: *const u8) -> u64 {
        let word;
        // SAFETY: readable by the contract.
        unsafe { asm!("ldr {word}, [{at}]", word = out(reg) word, at = in(reg) at, options(pure, readonly, nostack, preserves_flags)) };
        word
    }

    /// # Safety
    /// Eight bytes `at` bytes behind `base` are readable.
    #[inline(always)]
    pub(super) unsafe fn load64_at(base: *const u8, at: usize) -> u64 {
        let word;
        // SAFETY: readable by the contract.
        unsafe {
            asm!("ldr {word}, [{base}, {at}]", word = out(reg) word, base = in(reg) base, at = in(reg) at, options(pure, readonly, nostack, preserves_flags))
        };
        word
    }

    /// # Safety
    /// Four bytes from `at` are readable.
    #[inline(always)]
    pub(super) unsafe fn load32(at: *const u8) -> u32 {
        let word;
        // SAFETY: readable by the contract.
        unsafe { asm!("ldr {word:w}, [{at}]", word = out(reg) word, at = in(reg) at, options(pure, readonly, nostack, preserves_flags)) };
        word
    }

    /// # Safety
    /// Eight bytes from `at` are writable.
    #[inline(always)]
    pub(super) unsafe fn store64(at: *mut u8, word: u64) {
        // SAFETY: writable by the contract.
        unsafe { asm!("str {word}, [{at}]", word = in(reg) word, at = in(reg) at, options(nostack, preserves_flags)) };
    }

    /// # Safety
    /// Eight bytes `at` bytes behind `base` are writable.
    #[inline(always)]
    pub(super) unsafe fn store64_at(base: *mut u8, at: usize, word: u64) {
        // SAFETY: writable by the contract.
        unsafe {
            asm!("str {word}, [{base}, {at}]", word = in(reg) word, base = in(reg) base, at = in(reg) at, options(nostack, preserves_flags))
        };
    }

    /// # Safety
    /// `ZEROED` bytes from `at` are writable.
    #[inline(always)]
    pub(super) unsafe fn zero(at: *mut u8) {
        // SAFETY: writable by the contract.
        unsafe {
            asm!(
                "movi {zero}.2d, #0",
                "stp {zero:q}, {zero:q}, [{at}]", "stp {zero:q}, {zero:q}, [{at}, #32]", "stp {zero:q}, {zero:q}, [{at}, #64]", "stp {zero:q}, {zero:q}, [{at}, #96]",
                zero = out(vreg) _, at = in(reg) at, options(nostack, preserves_flags)
            )
        };
    }

    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy32(from: *const u8, to: *mut u8) {
        // SAFETY: readable and writable by the contract.
        unsafe {
            asm!(
                "ldp {low:q}, {high:q}, [{from}]", "stp {low:q}, {high:q}, [{to}]",
                low = out(vreg) _, high = out(vreg) _, from = in(reg) from, to = in(reg) to, options(nostack, preserves_flags)
            )
        };
    }

    /// As [`copy32`], and returns what is behind both.
    ///
    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy32_on(from: *const u8, to: *mut u8) -> (*const u8, *mut u8) {
        let (mut from, mut to) = (from, to);
        // SAFETY: readable and writable by the contract.
        unsafe {
            asm!(
                "ldp {low:q}, {high:q}, [{from}], #32", "stp {low:q}, {high:q}, [{to}], #32",
                low = out(vreg) _, high = out(vreg) _, from = inout(reg) from, to = inout(reg) to, options(nostack, preserves_flags)
            )
        };
        (from, to)
    }

    /// # Safety
    /// `to` is writable.
    #[inline(always)]
    pub(super) unsafe fn put(byte: u8, to: *mut u8) -> *mut u8 {
        let mut to = to;
        // SAFETY: writable by the contract.
        unsafe { asm!("strb {byte:w}, [{to}], #1", byte = in(reg) byte, to = inout(reg) to, options(nostack, preserves_flags)) };
        to
    }

    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy16_twice(from: *const u8, to: *mut u8) {
        // SAFETY: readable and writable by the contract.
        unsafe {
            asm!(
                "ldr {bytes:q}, [{from}]", "str {bytes:q}, [{to}]", "ldr {bytes:q}, [{from}, #16]", "str {bytes:q}, [{to}, #16]",
                bytes = out(vreg) _, from = in(reg) from, to = in(reg) to, options(nostack, preserves_flags)
            )
        };
    }
}

/// Bytes that are zeroed at once.
const ZEROED: usize = 128;

/// Numbers that are 0 where all bytes are.
///
/// # Safety
/// That is so.
unsafe trait Number: Copy {
    /// Zero.
    const ZERO: Self;
}

// SAFETY: an integer.
unsafe impl Number for u16 {
    const ZERO: Self = 0;
}

// SAFETY: an integer.
unsafe impl Number for u32 {
    const ZERO: Self = 0;
}

/// Zeroes numbers, by large stores where the compiler would call a function that makes small ones.
#[inline(always)]
fn zero_all<N: Number>(numbers: &mut [N]) {
    let mut lines = numbers.chunks_exact_mut(ZEROED / size_of::<N>());
    for line in &mut lines {
        // SAFETY: so many bytes has a line, and all of them zero are numbers.
        unsafe { unaligned::zero(line.as_mut_ptr().cast()) };
    }
    lines.into_remainder().fill(N::ZERO);
}

/// Stores eight bytes into a slice, the lowest one first.
///
/// # Panics
/// If they are not all in it.
#[inline(always)]
pub(crate) fn store_word(out: &mut [u8], at: usize, word: u64) {
    let place = &mut out[at..][..8];
    // SAFETY: a place of eight bytes.
    unsafe { store64(place.as_mut_ptr(), word) };
}

/// Loads and stores of any alignment.
#[cfg(not(all(target_arch = "aarch64", target_os = "none", target_endian = "little")))]
mod unaligned {
    /// # Safety
    /// Eight bytes from `at` are readable.
    #[inline(always)]
    pub(super) unsafe fn load64(at: *const u8) -> u64 {
        // SAFETY: readable by the contract.
        u64::from_le(unsafe { at.cast::<u64>().read_unaligned() })
    }

    /// # Safety
    /// Eight bytes `at` bytes behind `base` are readable.
    #[inline(always)]
    pub(super) unsafe fn load64_at(base: *const u8, at: usize) -> u64 {
        // SAFETY: readable by the contract.
        unsafe { load64(base.wrapping_add(at)) }
    }

    /// # Safety
    /// Four bytes from `at` are readable.
    #[inline(always)]
    pub(super) unsafe fn load32(at: *const u8) -> u32 {
        // SAFETY: readable by the contract.
        u32::from_le(unsafe { at.cast::<u32>().read_unaligned() })
    }

    /// # Safety
    /// Eight bytes from `at` are writable.
    #[inline(always)]
    pub(super) unsafe fn store64(at: *mut u8, word: u64) {
        // SAFETY: writable by the contract.
        unsafe { at.cast::<u64>().write_unaligned(word.to_le()) }
    }

    /// # Safety
    /// Eight bytes `at` bytes behind `base` are writable.
    #[inline(always)]
    pub(super) unsafe fn store64_at(base: *mut u8, at: usize, word: u64) {
        // SAFETY: writable by the contract.
        unsafe { store64(base.wrapping_add(at), word) }
    }

    /// # Safety
    /// `ZEROED` bytes from `at` are writable.
    #[inline(always)]
    pub(super) unsafe fn zero(at: *mut u8) {
        // SAFETY: writable by the contract.
        unsafe { at.write_bytes(0, super::ZEROED) };
    }

    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy32(from: *const u8, to: *mut u8) {
        // SAFETY: readable by the contract.
        let halves = [0, 16].map(|at| unsafe { from.wrapping_add(at).cast::<[u8; 16]>().read() });
        // SAFETY: writable by the contract.
        unsafe { to.cast::<[[u8; 16]; 2]>().write(halves) }
    }

    /// As [`copy32`], and returns what is behind both.
    ///
    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy32_on(from: *const u8, to: *mut u8) -> (*const u8, *mut u8) {
        // SAFETY: by the contract.
        unsafe { copy32(from, to) };
        (from.wrapping_add(32), to.wrapping_add(32))
    }

    /// # Safety
    /// `to` is writable.
    #[inline(always)]
    pub(super) unsafe fn put(byte: u8, to: *mut u8) -> *mut u8 {
        // SAFETY: writable by the contract.
        unsafe { to.write(byte) };
        to.wrapping_add(1)
    }

    /// # Safety
    /// 32 bytes from `from` are readable, 32 from `to` writable.
    #[inline(always)]
    pub(super) unsafe fn copy16_twice(from: *const u8, to: *mut u8) {
        for at in [0, 16] {
            // SAFETY: readable by the contract.
            let bytes = unsafe { from.wrapping_add(at).cast::<[u8; 16]>().read() };
            // SAFETY: writable by the contract.
            unsafe { to.wrapping_add(at).cast::<[u8; 16]>().write(bytes) }
        }
    }
}

/// Loads eight bytes, the first one lowest.
///
/// # Safety
/// Eight bytes from `at` are readable.
#[inline(always)]
unsafe fn load64(at: *const u8) -> u64 {
    // SAFETY: by the contract.
    unsafe { unaligned::load64(at) }
}

/// Loads eight bytes behind a base, the first one lowest.
///
/// # Safety
/// Eight bytes `at` bytes behind `base` are readable.
#[inline(always)]
unsafe fn load64_at(base: *const u8, at: usize) -> u64 {
    // SAFETY: by the contract.
    unsafe { unaligned::load64_at(base, at) }
}

/// Loads four bytes, the first one lowest.
///
/// # Safety
/// Four bytes from `at` are readable.
#[inline(always)]
unsafe fn load32(at: *const u8) -> u32 {
    // SAFETY: by the contract.
    unsafe { unaligned::load32(at) }
}

/// Stores eight bytes, the lowest one first.
///
/// # Safety
/// Eight bytes from `at` are writable.
#[inline(always)]
unsafe fn store64(at: *mut u8, word: u64) {
    // SAFETY: by the contract.
    unsafe { unaligned::store64(at, word) }
}

/// Copies 32 bytes, all of which are loaded before the first is stored.
///
/// # Safety
/// 32 bytes from `from` are readable, 32 from `to` writable.
#[inline(always)]
unsafe fn copy32(from: *const u8, to: *mut u8) {
    // SAFETY: by the contract.
    unsafe { unaligned::copy32(from, to) }
}

/// Copies by 32 bytes up to `end` or fewer than 32 bytes behind it.
///
/// # Safety
/// `to` < `end`, both of one object. The bytes from `from` up to as many are readable, those from `to` writable, and from `from` it is 32 bytes or more to `to`.
#[inline(always)]
unsafe fn copy32s(from: *const u8, to: *mut u8, end: *mut u8) {
    let (mut from, mut to) = (from, to);
    loop {
        // SAFETY: by the contract: `to` is before `end`.
        (from, to) = unsafe { unaligned::copy32_on(from, to) };
        if to >= end {
            break;
        }
    }
}

/// Writes a byte and returns what is behind it.
///
/// # Safety
/// `to` is writable.
#[inline(always)]
unsafe fn put(byte: u8, to: *mut u8) -> *mut u8 {
    // SAFETY: by the contract.
    unsafe { unaligned::put(byte, to) }
}

/// Stores eight bytes behind a base, the lowest one first.
///
/// # Safety
/// Eight bytes `at` bytes behind `base` are writable.
#[inline(always)]
unsafe fn store64_at(base: *mut u8, at: usize, word: u64) {
    // SAFETY: by the contract.
    unsafe { unaligned::store64_at(base, at, word) }
}

/// Copies sixteen bytes, and then the next sixteen: each half is loaded before it is stored, the second one behind the first.
///
/// # Safety
/// 32 bytes from `from` are readable, 32 from `to` writable.
#[inline(always)]
unsafe fn copy16_twice(from: *const u8, to: *mut u8) {
    // SAFETY: by the contract.
    unsafe { unaligned::copy16_twice(from, to) }
}

/// What the CPU has.
#[cfg(target_arch = "x86_64")]
mod cpu {
    use core::arch::x86_64::{__cpuid_count, _xgetbv};
    use core::sync::atomic::{AtomicU8, Ordering};

    /// BMI1, BMI2 and LZCNT.
    pub(super) const BMI2: u8 = 1 << 0;
    /// PCLMULQDQ and SSE4.1.
    pub(super) const PCLMUL: u8 = 1 << 1;
    /// AVX2, with its registers saved by the operating system.
    pub(super) const AVX2: u8 = 1 << 2;
    const ASKED: u8 = 1 << 7;

    /// Asks the CPU, once per process: CPUID traps in virtual machines, which takes thousands of cycles. A race asks twice.
    pub(super) fn features() -> u8 {
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        let known = KNOWN.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let known = ASKED | ask();
        KNOWN.store(known, Ordering::Relaxed);
        known
    }

    fn ask() -> u8 {
        // Miri has no CPUID; it runs the portable loops.
        if cfg!(miri) {
            return 0;
        }
        let has = |word: u32, bits: u32| word & bits == bits;
        let leaf = |highest: u32, leaf: u32| if leaf <= highest { Some(__cpuid_count(leaf, 0)) } else { None };
        let basic = __cpuid_count(0, 0).eax;
        let extended = __cpuid_count(0x8000_0000, 0).eax;
        let (Some(one), Some(seven)) = (leaf(basic, 1), leaf(basic, 7)) else { return 0 };
        let mut features = 0;
        // EBX of leaf 7: bit 3 BMI1, bit 8 BMI2. ECX of leaf 0x8000_0001: bit 5 LZCNT.
        if has(seven.ebx, 1 << 3 | 1 << 8) && leaf(extended, 0x8000_0001).is_some_and(|leaf| has(leaf.ecx, 1 << 5)) {
            features |= BMI2;
        }
        // ECX of leaf 1: bit 1 PCLMULQDQ, bit 19 SSE4.1, bit 26 XSAVE, bit 27 OSXSAVE.
        if has(one.ecx, 1 << 1 | 1 << 19) {
            features |= PCLMUL;
        }
        if has(one.ecx, 1 << 26 | 1 << 27) && has(seven.ebx, 1 << 5) {
            // SAFETY: OSXSAVE says that XGETBV can be used. Bits 1 and 2 of XCR0: the system saves the SSE and AVX registers.
            if unsafe { _xgetbv(0) } & 6 == 6 {
                features |= AVX2;
            }
        }
        features
    }
}

/// Whether this CPU has BMI1, BMI2 and LZCNT.
#[cfg(target_arch = "x86_64")]
fn has_bmi2() -> bool {
    cpu::features() & cpu::BMI2 != 0
}

/// Whether this CPU has PCLMULQDQ and SSE4.1.
#[cfg(target_arch = "x86_64")]
fn has_pclmul() -> bool {
    cpu::features() & cpu::PCLMUL != 0
}

/// Whether this CPU has AVX2.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    cpu::features() & cpu::AVX2 != 0
}

/// Small enough for Miri, which then sees every path of the loops: `cargo miri test -p deflate --lib fast`.
#[cfg(test)]
mod tests {
    extern crate std;

    use crate::{Deflate, DeflateBalanced, DeflateBest, DeflateHigh, Flush, Framing, Inflate, Params, Request, Status, inflate_together};

    pub(super) const PLAIN: usize = 5000;

    /// Words that repeat at short, middle and long distances, runs, and noise: the first of these bytes.
    pub(super) fn sample(len: usize) -> std::vec::Vec<u8> {
        let mut seed = 5u64;
        let mut bytes = [0; PLAIN];
        let mut at = 0;
        while at < PLAIN {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let value = (seed >> 33) as usize;
            let len = (3 + value % 40).min(PLAIN - at);
            let distance = [1, 2, 3, 5, 7, 8, 9, 15, 16, 31, 100, 2000][value / 64 % 12];
            for i in at..at + len {
                let is_noise = at < 40 || value % 64 > 44;
                bytes[i] = if is_noise { (seed >> (i % 40)) as u8 } else { bytes[i.saturating_sub(distance)] };
            }
            at += len;
        }
        bytes[..len].to_vec()
    }

    /// Compresses the first bytes of the sample at one level and takes them back in pieces.
    fn there_and_back<F: crate::deflate::Finder>(deflate: &mut crate::Compressor<F>, len: usize) {
        let plain = sample(len);
        let mut packed = [0; PLAIN + 100];
        for framing in [Framing::Raw, Framing::GzipBody] {
            deflate.reset(Params::new(framing));
            let put = deflate.step(&plain, &mut packed, Flush::Finish);
            assert_eq!((put.consumed, put.status), (len, Status::Done));
            assert!(put.produced < len, "it has matches");
            // The same in pieces, through the buffer.
            deflate.reset(Params::new(framing));
            let (mut from, mut at) = (0, 0);
            let mut pieces = [0; PLAIN + 100];
            loop {
                let to = (from + 777).min(len);
                let flush = if to == len { Flush::Finish } else { Flush::None };
                let room = (at + 300).min(pieces.len());
                let part = deflate.step(&plain[from..to], &mut pieces[at..room], flush);
                from += part.consumed;
                at += part.produced;
                if part.status == Status::Done {
                    break;
                }
            }
            assert!(pieces[..at] == packed[..put.produced], "cut or whole, the stream is the same");
            for cut in [PLAIN, 3000, 700, 290] {
                let mut inflate = Inflate::new();
                inflate.reset(framing);
                let (mut from, mut at) = (0, 0);
                let mut out = std::vec![0; len];
                loop {
                    let room = (at + cut).min(len);
                    let got = inflate.step(&packed[from..put.produced], &mut out[at..room]);
                    from += got.consumed;
                    at += got.produced;
                    match got.status {
                        Status::Done => break,
                        Status::NeedOutput => {}
                        other => panic!("{other:?} at {at}"),
                    }
                }
                assert!(out == plain, "pieces of {cut}");
            }
        }
    }

    #[test]
    fn there_and_back_with_matches_into_the_window() {
        there_and_back(&mut Deflate::new(), PLAIN);
    }

    #[test]
    fn there_and_back_at_the_balanced_level() {
        there_and_back(&mut DeflateBalanced::new(), PLAIN);
    }

    #[test]
    fn there_and_back_at_the_high_level() {
        there_and_back(&mut DeflateHigh::new(), PLAIN);
    }

    #[test]
    fn there_and_back_at_the_best_level() {
        // More than the stack of a test.
        static DEFLATE: std::sync::Mutex<DeflateBest> = std::sync::Mutex::new(DeflateBest::new());
        // Miri takes its time for every way through a block.
        there_and_back(&mut DEFLATE.lock().unwrap(), if cfg!(miri) { 1000 } else { PLAIN });
    }

    #[test]
    fn two_streams_at_once() {
        // Words that follow each other in any order: matches, overlaps now and then, few literals.
        let mut seed = 9u64;
        let mut plain = [0; PLAIN];
        for word in plain.chunks_mut(7) {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let from = (seed >> 60) as usize;
            word.copy_from_slice(&b"somewhereaaaaaaaaaanddelsew"[from..from + word.len()]);
        }
        let (mut deflate, mut packed) = (Deflate::new(), [0; PLAIN]);
        deflate.reset(Params::new(Framing::Raw));
        let len = deflate.step(&plain, &mut packed, Flush::Finish).produced;
        let mut contexts = [Inflate::new(), Inflate::new()];
        let (mut first, mut second, mut third) = ([0; PLAIN], [0; PLAIN], [0; PLAIN - 1]);
        let mut requests = [
            Request::new(Framing::Raw, &packed[..len], &mut first),
            Request::new(Framing::Raw, &packed[..len - 9], &mut second),
            Request::new(Framing::Raw, &packed[..len], &mut third),
        ];
        inflate_together(&mut contexts, &mut requests);
        let statuses = requests.each_ref().map(|request| request.progress.status);
        assert_eq!(statuses, [Status::Done, Status::NeedInput, Status::NeedOutput]);
        let produced = requests[1].progress.produced;
        assert!(produced > PLAIN / 2 && first == plain && second[..produced] == plain[..produced] && third == plain[..PLAIN - 1]);
    }
}
