//! Counters that a process can ask for.

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Counters of the calling process, and of the whole kernel. All are 64-bit and only grow.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[repr(C)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// Field names, in memory order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];
            /// Length of the structure in bytes.
            pub const BYTES: usize = Self::NAMES.len() * 8;

            /// The structure as it lies in memory.
            pub fn to_bytes(self) -> [u8; Self::BYTES] {
                let mut bytes = [0; Self::BYTES];
                let values = [$(self.$field,)*];
                for (slot, value) in bytes.chunks_exact_mut(8).zip(values) {
                    slot.copy_from_slice(&value.to_le_bytes());
                }
                bytes
            }

            /// Reads the structure from memory.
            pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
                let mut values = bytes.chunks_exact(8).map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
                Self { $($field: values.next().unwrap_or(0),)* }
            }

            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($field: self.$field.wrapping_sub(earlier.$field),)* }
            }
        }
    };
}

counters! {
    /// Exceptions taken to EL1 while this process ran, of every kind: calls, faults, interrupts. The query itself counts as one.
    el1_exceptions,
    /// System calls of this process.
    system_calls,
    /// Interrupts taken while this process ran.
    interrupts,
    /// Page faults of this process's own accesses that were resolved.
    cpu_page_faults,
    /// Page faults of devices in this process's address space that were resolved.
    device_page_faults,
    /// Page faults of devices in this process's address space that were refused.
    device_faults_refused,
    /// Pages of memory that this process holds.
    resident_pages,
    /// Times this process was given the CPU.
    dispatches,
    /// Exceptions taken to EL1 since boot, of every kind and from every level.
    kernel_el1_exceptions,
    /// SMMU event records read since boot.
    kernel_smmu_events,
    /// Invalidations sent to the SMMU since boot.
    kernel_smmu_invalidations,
    /// Pages that were copied because this process shared them and wrote, itself or by a device.
    page_copies,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn layout_is_words_in_declaration_order() {
        assert_eq!(size_of::<Counters>(), Counters::BYTES);
        assert_eq!(offset_of!(Counters, el1_exceptions), 0);
        assert_eq!(offset_of!(Counters, device_page_faults), 32);
        assert_eq!(offset_of!(Counters, kernel_smmu_invalidations), 80);
        let mut raw = [0; Counters::BYTES];
        raw[32] = 7;
        assert_eq!(Counters::from_bytes(&raw), Counters { device_page_faults: 7, ..Counters::default() });
        assert_eq!(Counters { device_page_faults: 7, ..Counters::default() }.to_bytes(), raw);
    }

    #[test]
    fn since_subtracts_every_field() {
        let early = Counters { system_calls: 3, interrupts: 9, ..Counters::default() };
        let late = Counters { system_calls: 5, interrupts: 9, ..Counters::default() };
        assert_eq!(late.since(&early), Counters { system_calls: 2, ..Counters::default() });
    }
}
