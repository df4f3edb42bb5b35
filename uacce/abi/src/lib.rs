//! uacce-abi
#![no_std]
#![forbid(unsafe_code)]
