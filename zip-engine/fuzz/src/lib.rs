//! Bodies of fuzz tests: each takes bytes and panics if ours and a judge disagree. libFuzzer and a seeded loop share them.

pub mod data;
pub mod deflate;
pub mod engine;
pub mod inflate;
pub mod judges;
pub mod round_trip;
pub mod sequences;
pub mod state;

/// What a body is: bytes in, a panic if something is wrong.
pub type Body = fn(&[u8]);

/// Every body with its name.
pub const BODIES: [(&str, Body); 5] = [
    ("inflate", inflate::body),
    ("deflate", deflate::body),
    ("sequences", sequences::body),
    ("state", state::body),
    ("engine", engine::body),
];
