//! The uacce core on fake devices and fake address spaces.

mod core_calls;
mod exhaustive;
mod fakes;
mod profiles;
mod reference;
mod sweep;
