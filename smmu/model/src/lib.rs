//! smmu-model
#![no_std]
#![forbid(unsafe_code)]
