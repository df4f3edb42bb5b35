//! uacce_suite
