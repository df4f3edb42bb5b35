//! target-tests
#![no_std]
#![forbid(unsafe_code)]
