//! uacce: the kernel's core over fakes that keep the order of everything.

mod core_calls;
mod fakes;
