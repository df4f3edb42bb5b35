//! The VFT: which queues belong to which function, and the shaper (B.5).
#![allow(missing_docs, reason = "register_bitfields! makes items of its own beside each documented field")]

use tock_registers::{LocalRegisterCopy, register_bitfields};

register_bitfields! { u64,
    /// SQC entry, version 2 and later.
    pub SQC_VFT [
        /// [43:28] FIRST: first queue of the device that is this function's queue 0.
        FIRST OFFSET(28) NUMBITS(16) [],
        /// [44] VALID.
        VALID OFFSET(44) NUMBITS(1) [],
        /// [54:45] COUNT: number of queues − 1.
        COUNT OFFSET(45) NUMBITS(10) [],
    ],
    /// CQC entry, version 2 and later.
    pub CQC_VFT [
        /// [28] VALID.
        VALID OFFSET(28) NUMBITS(1) [],
    ],
    /// Shaper entry, version 3.
    pub SHAPER [
        /// [7:0] CIR_B: committed rate, mantissa.
        CIR_B OFFSET(0) NUMBITS(8) [],
        /// [10:8] CIR_U: committed rate, exponent.
        CIR_U OFFSET(8) NUMBITS(3) [],
        /// [14:11] CIR_S: committed rate, divisor exponent.
        CIR_S OFFSET(11) NUMBITS(4) [],
        /// [15] CBS_B: bucket size, mantissa; always 1.
        CBS_B OFFSET(15) NUMBITS(1) [],
        /// [23:19] CBS_S: bucket size, exponent.
        CBS_S OFFSET(19) NUMBITS(5) [],
    ]
}

/// Which table a VFT operation is for: the value of VFT_CFG_TYPE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VftType(pub u32);

impl VftType {
    /// Submission queues.
    pub const SQC: Self = Self(0);
    /// Completion queues.
    pub const CQC: Self = Self(1);
    /// Bandwidth shaper.
    pub const SHAPER: Self = Self(2);
}

/// A function's share of the device's queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SqcVft {
    /// First queue, device-wide number.
    pub first: u16,
    /// Number of queues, 1 to 1024.
    pub count: u16,
}

impl SqcVft {
    /// The entry, marked valid.
    pub fn encode(&self) -> u64 {
        (SQC_VFT::FIRST.val(self.first.into()) + SQC_VFT::VALID::SET + SQC_VFT::COUNT.val(u64::from(self.count.wrapping_sub(1)))).value
    }
    /// Reads an entry; `None` if it is not marked valid.
    pub fn decode(entry: u64) -> Option<Self> {
        let word = LocalRegisterCopy::<u64, SQC_VFT::Register>::new(entry);
        word.is_set(SQC_VFT::VALID).then(|| Self { first: word.read(SQC_VFT::FIRST) as u16, count: word.read(SQC_VFT::COUNT) as u16 + 1 })
    }
}

/// The queues that a device has left for its virtual functions, split as C.7 says: from the highest function down, bases growing.
#[derive(Clone, Debug)]
pub struct VfShares {
    next: u16,
    end: u16,
    share: u16,
    remainder: u16,
    most: u16,
    vfs: u16,
    left: u16,
}

impl VfShares {
    /// Splits what lies behind the physical function's `pf_queues` of `device_queues` among `vfs`; no function gets more than `most`. `None` if
    /// there are no functions, or fewer queues than functions.
    pub const fn new(device_queues: u16, pf_queues: u16, vfs: u16, most: u16) -> Option<Self> {
        if vfs == 0 || pf_queues > device_queues || device_queues - pf_queues < vfs || most == 0 {
            return None;
        }
        let total = device_queues - pf_queues;
        Some(Self { next: pf_queues, end: device_queues, share: total / vfs, remainder: total % vfs, most, vfs, left: vfs })
    }
}

impl Iterator for VfShares {
    /// Function number and its share.
    type Item = (u16, SqcVft);

    fn next(&mut self) -> Option<Self::Item> {
        let vf = self.left;
        if vf == 0 {
            return None;
        }
        let all_fits = u32::from(self.share) + u32::from(self.remainder) <= u32::from(self.most);
        let extra = if vf == self.vfs && all_fits {
            core::mem::take(&mut self.remainder)
        } else if self.remainder != 0 && self.share < self.most {
            self.remainder -= 1;
            1
        } else {
            0
        };
        let count = (self.share + extra).min(self.most).min(self.end - self.next);
        let first = self.next;
        self.next += count;
        self.left -= 1;
        Some((vf, SqcVft { first, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rows_31_32_36_37_38() {
        let rows = [
            (SqcVft { first: 0, count: 64 }, 0x0007_f000_0000_0000),
            (SqcVft { first: 64, count: 320 }, 0x0027_f004_0000_0000),
            (SqcVft { first: 384, count: 320 }, 0x0027_f018_0000_0000),
            (SqcVft { first: 704, count: 320 }, 0x0027_f02c_0000_0000),
            (SqcVft { first: 67, count: 61 }, 0x0007_9004_3000_0000),
        ];
        for (vft, entry) in rows {
            assert_eq!(vft.encode(), entry);
            assert_eq!(SqcVft::decode(entry), Some(vft));
        }
        assert_eq!(SqcVft::decode(0), None);
        assert_eq!(CQC_VFT::VALID::SET.value, 0x0000_0000_1000_0000);
    }

    #[test]
    fn shares_of_c7() {
        let split = |device, pf, vfs, most| -> [(u16, u16, u16); 3] {
            let mut shares = VfShares::new(device, pf, vfs, most).unwrap().map(|(vf, share)| (vf, share.first, share.count));
            core::array::from_fn(|_| shares.next().unwrap_or((0, 0, 0)))
        };
        assert_eq!(split(1024, 64, 3, 1024), [(3, 64, 320), (2, 384, 320), (1, 704, 320)], "the file's example");
        assert_eq!(split(1024, 64, 2, 1024), [(2, 64, 480), (1, 544, 480), (0, 0, 0)]);
        assert_eq!(split(16, 6, 3, 16), [(3, 6, 4), (2, 10, 3), (1, 13, 3)], "the highest gets the remainder");
        assert_eq!(split(17, 6, 3, 4), [(3, 6, 4), (2, 10, 4), (1, 14, 3)], "or one each, where it would have too many");
        assert_eq!(split(64, 4, 3, 16), [(3, 4, 16), (2, 20, 16), (1, 36, 16)], "never more than a function can have");
        assert!(VfShares::new(64, 62, 3, 64).is_none() && VfShares::new(64, 4, 0, 64).is_none() && VfShares::new(4, 5, 1, 4).is_none());
    }

    #[test]
    fn golden_rows_40_and_41() {
        let shaper = |b, u, s, c| {
            (SHAPER::CIR_B.val(b) + SHAPER::CIR_U.val(u) + SHAPER::CIR_S.val(s) + SHAPER::CBS_B.val(1) + SHAPER::CBS_S.val(c)).value
        };
        assert_eq!(shaper(150, 6, 0, 19), 0x0098_8696);
        assert_eq!(shaper(154, 0, 4, 9), 0x0048_a09a);
    }

    #[test]
    fn masks_of_table_b5() {
        let masks = [SQC_VFT::FIRST, SQC_VFT::VALID, SQC_VFT::COUNT].map(|f| f.mask << f.shift);
        assert_eq!(masks, [0xfff_f000_0000, 0x1000_0000_0000, 0x7f_e000_0000_0000]);
        let shaper = [SHAPER::CIR_B, SHAPER::CIR_U, SHAPER::CIR_S, SHAPER::CBS_B, SHAPER::CBS_S].map(|f| f.mask << f.shift);
        assert_eq!(shaper, [0xff, 0x700, 0x7800, 0x8000, 0xf8_0000]);
    }
}
