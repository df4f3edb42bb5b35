//! uacce-user
#![no_std]
#![forbid(unsafe_code)]
