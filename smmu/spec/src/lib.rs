//! smmu-spec
#![no_std]
#![forbid(unsafe_code)]
