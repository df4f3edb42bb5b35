//! A register's one description: name, offset, width, access, reset value. Specs declare constants of these types, drivers and models use them.

use core::marker::PhantomData;
use tock_registers::{LocalRegisterCopy, RegisterLongName, fields::FieldValue};

use crate::RegisterWindow;

/// What software may do with a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Writes are ignored.
    ReadOnly,
    /// Plain storage, perhaps under a guard that the register's documentation names.
    ReadWrite,
    /// Reads return 0.
    WriteOnly,
    /// Writing 1 clears the bit.
    WriteOneToClear,
}

/// A register without its field type: what tables and documentation generators iterate over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegInfo {
    /// Name as the specification writes it.
    pub name: &'static str,
    /// Byte offset in the register block.
    pub offset: u64,
    /// Width in bytes, 4 or 8.
    pub bytes: u8,
    /// Access.
    pub permission: Permission,
    /// Value after reset.
    pub reset: u64,
}

/// A register of width `T` (`u32` or `u64`) whose fields are described by `R`.
#[derive(Clone, Copy)]
pub struct Reg<T, R: RegisterLongName = ()> {
    /// The description shared with tables.
    pub info: RegInfo,
    fields: PhantomData<(T, R)>,
}

macro_rules! width {
    ($t:ty, $bytes:literal, $read:ident, $write:ident) => {
        impl<R: RegisterLongName> Reg<$t, R> {
            /// Describes a register.
            pub const fn new(name: &'static str, offset: u64, permission: Permission, reset: $t) -> Self {
                Self { info: RegInfo { name, offset, bytes: $bytes, permission, reset: reset as u64 }, fields: PhantomData }
            }
            /// Byte offset in the block.
            pub const fn offset(&self) -> u64 {
                self.info.offset
            }
            /// Reads the register.
            pub fn read(&self, window: &impl RegisterWindow) -> LocalRegisterCopy<$t, R> {
                LocalRegisterCopy::new(window.$read(self.info.offset))
            }
            /// Writes the given fields, all others 0.
            pub fn write(&self, window: &impl RegisterWindow, value: FieldValue<$t, R>) {
                window.$write(self.info.offset, value.value);
            }
            /// Writes the whole register.
            pub fn set(&self, window: &impl RegisterWindow, value: $t) {
                window.$write(self.info.offset, value);
            }
            /// Reads the whole register.
            pub fn get(&self, window: &impl RegisterWindow) -> $t {
                window.$read(self.info.offset)
            }
        }
    };
}
width!(u32, 4, read32, write32);
width!(u64, 8, read64, write64);
