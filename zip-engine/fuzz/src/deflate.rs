//! Any bytes as data: compressed at every level in every framing, decoded by zlib, libdeflate and ours.

use std::cell::RefCell;

use crate::judges::{JUDGES, Judge};
use crate::round_trip::{NamedJudge, check};

thread_local! {
    static CONTEXTS: RefCell<(Box<deflate::Deflate>, Box<deflate::Inflate>)> =
        RefCell::new((Box::new(deflate::Deflate::new()), Box::new(deflate::Inflate::new())));
}

/// The first eight bytes seed the cuts, the rest is the data.
pub fn body(data: &[u8]) {
    let Some((seed, data)) = data.split_first_chunk::<8>() else { return };
    let judges = named();
    let judges: Vec<NamedJudge<'_>> = judges.iter().map(|(name, judge)| (*name, judge as _)).collect();
    // A context that went on from one input to the next: nothing of the last one may show.
    CONTEXTS.with_borrow_mut(|contexts| check(data, u64::from_le_bytes(*seed), &judges, contexts));
}

/// The C judges.
pub fn named() -> [(&'static str, Judge); 2] {
    JUDGES
}
