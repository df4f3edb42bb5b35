//! Any bytes as data: compressed at every level in every framing, decoded by zlib, libdeflate and ours.

use crate::judges::{JUDGES, Judge};
use crate::round_trip::{NamedJudge, check, levels};

/// The first eight bytes seed the cuts, the rest is the data.
pub fn body(data: &[u8]) {
    let Some((seed, data)) = data.split_first_chunk::<8>() else { return };
    let judges = named();
    let judges: Vec<NamedJudge<'_>> = judges.iter().map(|(name, judge)| (*name, judge as _)).collect();
    check(data, u64::from_le_bytes(*seed), &judges, &mut levels(), &mut deflate::Inflate::new());
}

/// The C judges.
pub fn named() -> [(&'static str, Judge); 2] {
    JUDGES
}
