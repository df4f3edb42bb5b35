//! Exception syndromes (ESR_ELx), decoded. Arm ARM (DDI 0487), D24.2 "ESR_EL1/ESR_EL2".

use crate::Access;

/// ESR_ELx.EC, bits 31:26: why the exception was taken. Open, so that an unknown class prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExceptionClass(pub u8);

impl ExceptionClass {
    /// Unknown reason: an undefined instruction.
    pub const UNKNOWN: Self = Self(0x00);
    /// WFI or WFE.
    pub const WFX: Self = Self(0x01);
    /// SVE, SIMD or FP access.
    pub const FP: Self = Self(0x07);
    /// SVC from AArch64.
    pub const SVC: Self = Self(0x15);
    /// HVC from AArch64.
    pub const HVC: Self = Self(0x16);
    /// SMC from AArch64.
    pub const SMC: Self = Self(0x17);
    /// MSR, MRS or system instruction.
    pub const SYSREG: Self = Self(0x18);
    /// Instruction abort from a lower level.
    pub const INSTRUCTION_ABORT_LOWER: Self = Self(0x20);
    /// Instruction abort from the same level.
    pub const INSTRUCTION_ABORT_SAME: Self = Self(0x21);
    /// PC alignment fault.
    pub const PC_ALIGNMENT: Self = Self(0x22);
    /// Data abort from a lower level.
    pub const DATA_ABORT_LOWER: Self = Self(0x24);
    /// Data abort from the same level.
    pub const DATA_ABORT_SAME: Self = Self(0x25);
    /// SP alignment fault.
    pub const SP_ALIGNMENT: Self = Self(0x26);
    /// BRK from AArch64.
    pub const BRK: Self = Self(0x3c);
}

/// A whole syndrome register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Esr(pub u64);

impl Esr {
    /// \[31:26\] EC.
    #[inline(always)]
    pub const fn class(self) -> ExceptionClass {
        ExceptionClass(((self.0 >> 26) & 0x3f) as u8)
    }
    /// \[25\] IL: the trapped instruction has 32 bits.
    pub const fn is_32bit_instruction(self) -> bool {
        self.0 & (1 << 25) != 0
    }
    /// \[24:0\] ISS.
    pub const fn iss(self) -> u32 {
        (self.0 & 0x01ff_ffff) as u32
    }
    /// \[15:0\] of an SVC, HVC or SMC: its immediate.
    pub const fn immediate(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
    /// The data abort syndrome; meaningful for the data abort classes only.
    #[inline(always)]
    pub const fn data_abort(self) -> DataAbort {
        DataAbort(self.iss())
    }
}

/// ISS of a data abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataAbort(pub u32);

impl DataAbort {
    /// \[6\] WnR: the access that failed. For cache maintenance and address translation instructions it reads as a write.
    #[inline(always)]
    pub const fn access(self) -> Access {
        if self.0 & (1 << 6) != 0 { Access::Write } else { Access::Read }
    }
    /// \[5:0\] DFSC.
    #[inline(always)]
    pub const fn status(self) -> FaultStatus {
        FaultStatus((self.0 & 0x3f) as u8)
    }
    /// \[10\] FnV: FAR does not hold the address.
    #[inline(always)]
    pub const fn is_far_invalid(self) -> bool {
        self.0 & (1 << 10) != 0
    }
    /// \[8\] CM: a cache maintenance or address translation instruction.
    #[inline(always)]
    pub const fn is_cache_maintenance(self) -> bool {
        self.0 & (1 << 8) != 0
    }
    /// \[7\] S1PTW: the stage-2 fault hit a stage-1 walk.
    #[inline(always)]
    pub const fn is_stage1_walk(self) -> bool {
        self.0 & (1 << 7) != 0
    }
    /// The instruction's syndrome, if it is of a form that has one (\[24\] ISV): a single general-purpose register without write-back.
    #[inline(always)]
    pub const fn syndrome(self) -> Option<LoadStore> {
        if self.0 & (1 << 24) == 0 {
            return None;
        }
        Some(LoadStore {
            bytes: 1 << ((self.0 >> 22) & 3),
            sign_extend: self.0 & (1 << 21) != 0,
            register: ((self.0 >> 16) & 0x1f) as u8,
            is_64bit_register: self.0 & (1 << 15) != 0,
        })
    }
}

/// What a trapped load or store does, from ISV, SAS, SSE, SRT, SF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadStore {
    /// \[23:22\] SAS as bytes: 1, 2, 4 or 8.
    pub bytes: u8,
    /// \[21\] SSE: the load sign-extends.
    pub sign_extend: bool,
    /// \[20:16\] SRT: the register, 31 meaning the zero register.
    pub register: u8,
    /// \[15\] SF: the register is 64 bits wide.
    pub is_64bit_register: bool,
}

impl LoadStore {
    /// The part of a register's value that the store writes.
    #[inline(always)]
    pub const fn store_value(self, register: u64) -> u64 {
        if self.bytes == 8 { register } else { register & ((1 << (self.bytes as u32 * 8)) - 1) }
    }
    /// What the destination register holds after a load of `raw`, upper bits of which are ignored.
    #[inline(always)]
    pub const fn load_value(self, raw: u64) -> u64 {
        let raw = self.store_value(raw);
        if !self.sign_extend {
            return raw;
        }
        let shift = 64 - self.bytes as u32 * 8;
        let extended = (((raw << shift) as i64) >> shift) as u64;
        if self.is_64bit_register { extended } else { extended & 0xffff_ffff }
    }
}

/// DFSC or IFSC: how a translation or access failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultStatus(pub u8);

impl FaultStatus {
    /// Synchronous external abort, not on a walk.
    pub const EXTERNAL_ABORT: Self = Self(0x10);
    /// Alignment fault.
    pub const ALIGNMENT: Self = Self(0x21);

    /// Translation fault, any level: nothing is mapped there.
    #[inline(always)]
    pub const fn is_translation(self) -> bool {
        self.0 & 0x3c == 0x04
    }
    /// Access flag fault, any level.
    pub const fn is_access_flag(self) -> bool {
        self.0 & 0x3c == 0x08
    }
    /// Permission fault, any level.
    pub const fn is_permission(self) -> bool {
        self.0 & 0x3c == 0x0c
    }
    /// The level of a translation, access flag or permission fault.
    pub const fn level(self) -> u8 {
        self.0 & 3
    }
}

/// An A64 `stp`, 64-bit registers, signed-offset form: the one store without a syndrome that a device must take (the QM mailbox).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StorePair {
    /// Register with the low 8 bytes, 31 meaning zero.
    pub first: u8,
    /// Register with the high 8 bytes, 31 meaning zero.
    pub second: u8,
    /// Base register, 31 meaning SP.
    pub base: u8,
    /// Byte offset from the base register.
    pub offset: i16,
}

impl StorePair {
    /// Decodes an instruction word; `None` for anything else, write-back forms included. DDI 0487, C6.2 "STP".
    pub const fn decode(word: u32) -> Option<Self> {
        // opc = 10, 101, V = 0, 010 (signed offset), L = 0.
        if word & 0xffc0_0000 != 0xa900_0000 {
            return None;
        }
        let imm7 = ((word >> 15) & 0x7f) as i16;
        Some(Self {
            first: (word & 0x1f) as u8,
            second: ((word >> 10) & 0x1f) as u8,
            base: ((word >> 5) & 0x1f) as u8,
            offset: if imm7 >= 64 { imm7 - 128 } else { imm7 } * 8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Words observed in ESR_EL2 on QEMU for `str w5, [x]` and `ldr w5, [x]` (x1 and so on differ in SRT only).
    #[test]
    fn observed_words_decode() {
        let store = Esr(0x9381_0045);
        assert_eq!(store.class(), ExceptionClass::DATA_ABORT_LOWER);
        assert!(store.is_32bit_instruction());
        let abort = store.data_abort();
        assert_eq!(abort.access(), Access::Write);
        assert!(abort.status().is_translation());
        assert_eq!(abort.status().level(), 1);
        assert_eq!(abort.syndrome(), Some(LoadStore { bytes: 4, sign_extend: false, register: 1, is_64bit_register: false }));

        let load = Esr(0x9381_0005).data_abort();
        assert_eq!(load.access(), Access::Read);
        assert_eq!(load.syndrome(), Some(LoadStore { bytes: 4, sign_extend: false, register: 1, is_64bit_register: false }));
    }

    #[test]
    fn write_back_and_pair_forms_have_no_syndrome() {
        assert_eq!(Esr(0x9200_0045).data_abort().syndrome(), None);
        assert_eq!(Esr(0x9200_0005).class(), ExceptionClass::DATA_ABORT_LOWER);
        assert_eq!(Esr(0x9200_0005).data_abort().syndrome(), None);
    }

    #[test]
    fn every_syndrome_field_has_its_place() {
        // ISV=1 SAS=11 SSE=0 SRT=31 SF=1 WnR=1 DFSC=0x06: str xzr, level 2 translation fault.
        let all = DataAbort(0x01df_8046);
        assert_eq!(all.syndrome(), Some(LoadStore { bytes: 8, sign_extend: false, register: 31, is_64bit_register: true }));
        assert_eq!(all.status().level(), 2);
        // ISV=1 SAS=00 SSE=1 SRT=25 SF=1: ldrsb x25.
        let ldrsb = DataAbort(0x0139_8007).syndrome().unwrap();
        assert_eq!(ldrsb, LoadStore { bytes: 1, sign_extend: true, register: 25, is_64bit_register: true });
        assert!(DataAbort(0x0000_0400).is_far_invalid());
        assert!(DataAbort(0x0000_0100).is_cache_maintenance());
        assert!(DataAbort(0x0000_0080).is_stage1_walk());
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        let form = |bytes, sign_extend, is_64bit_register| LoadStore { bytes, sign_extend, register: 0, is_64bit_register };
        assert_eq!(form(1, false, false).load_value(0xffff_ff80), 0x80);
        assert_eq!(form(1, true, true).load_value(0x80), 0xffff_ffff_ffff_ff80);
        assert_eq!(form(1, true, false).load_value(0x80), 0xffff_ff80);
        assert_eq!(form(2, true, true).load_value(0x7fff), 0x7fff);
        assert_eq!(form(4, true, true).load_value(0x8000_0000), 0xffff_ffff_8000_0000);
        assert_eq!(form(8, false, true).load_value(u64::MAX), u64::MAX);
        assert_eq!(form(4, false, false).store_value(u64::MAX), 0xffff_ffff);
        assert_eq!(form(1, false, false).store_value(0x1234), 0x34);
    }

    // Words assembled by LLVM.
    #[test]
    fn store_pairs_decode() {
        // stp x1, x2, [x0]
        assert_eq!(StorePair::decode(0xa900_0801), Some(StorePair { first: 1, second: 2, base: 0, offset: 0 }));
        // stp xzr, x30, [sp, #-512]
        assert_eq!(StorePair::decode(0xa920_7bff), Some(StorePair { first: 31, second: 30, base: 31, offset: -512 }));
        // stp x3, x4, [x5, #504]
        assert_eq!(StorePair::decode(0xa91f_90a3), Some(StorePair { first: 3, second: 4, base: 5, offset: 504 }));
        // ldp x1, x2, [x0]; stp w1, w2, [x0]; stp q0, q1, [x0]; stp x1, x2, [x0], #16; stp x1, x2, [x0, #16]!; stnp x1, x2, [x0]
        for other in [0xa940_0801, 0x2900_0801, 0xad00_0400, 0xa881_0801, 0xa981_0801, 0xa800_0801] {
            assert_eq!(StorePair::decode(other), None);
        }
    }
}
