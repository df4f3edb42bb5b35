//! Frame-pointer walk: return addresses for the host to name.

/// Calls `each` with the return addresses of the frames from frame record `fp` on, at most 32, as long as records rise and lie in `stack`.
///
/// The records are data of a possibly broken program: each is checked before it is read.
pub fn walk(fp: usize, stack: core::ops::Range<usize>, mut each: impl FnMut(usize)) {
    let mut fp = fp;
    for _ in 0..32 {
        if !fp.is_multiple_of(16) || fp < stack.start || fp.checked_add(16).is_none_or(|end| end > stack.end) {
            return;
        }
        // SAFETY: the record lies inside the caller's stack range, aligned; its words are plain integers.
        let [next, lr] = unsafe { core::ptr::with_exposed_provenance::<[usize; 2]>(fp).read_volatile() };
        if lr == 0 {
            return;
        }
        each(lr);
        if next <= fp {
            return;
        }
        fp = next;
    }
}
