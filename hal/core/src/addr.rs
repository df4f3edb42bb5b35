//! Address and identifier newtypes: four kinds of address live in one program, and mixing two of them is the classic bring-up bug.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#0", $width, "x})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:#0", $width, "x}"), self.0)
            }
        }
    };
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        number!($(#[$doc])* $name(u64), "18");
        impl $name {
            /// Adds `bytes`; `None` past 2^64.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) { Some(v) => Some(Self(v)), None => None }
            }
            /// Adds `bytes`, wrapping at 2^64.
            pub const fn wrapping_add(self, bytes: u64) -> Self { Self(self.0.wrapping_add(bytes)) }
            /// Rounds down to a multiple of `align`, a power of two.
            pub const fn align_down(self, align: u64) -> Self { Self(self.0 & !(align - 1)) }
            /// The offset inside its `align`-sized cell, a power of two.
            pub const fn offset_in(self, align: u64) -> u64 { self.0 & (align - 1) }
            /// True if a multiple of `align`, a power of two.
            pub const fn is_aligned(self, align: u64) -> bool { self.offset_in(align) == 0 }
        }
    };
}

address!(/** A physical address: what the memory system decodes. */ Pa);
address!(/** An intermediate physical address: what EL1 believes to be physical. */ Ipa);
address!(/** A virtual address of some process or level. */ Va);
address!(/** An address as a device emits it, before the SMMU. */ Iova);
number!(/** StreamID: which device emitted a transaction (IHI 0070, chapter 3.2). */ StreamId(u32), "10");
number!(/** SubstreamID, PCIe's PASID: which address space of that device. 20 bits. */ SubstreamId(u32), "7");

/// Direction of an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load, or a device reading memory.
    Read,
    /// A store, or a device writing memory.
    Write,
}

/// What a CPU or a device wants to do with an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessKind {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Execute,
}
