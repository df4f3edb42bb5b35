//! Arithmetic of the shaper: a quality of service of 1 to 1000 as a shaper entry, and back (B.5).

use tock_registers::LocalRegisterCopy;

use crate::SHAPER;

/// Fields of a shaper entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShaperFields {
    /// Committed rate, mantissa.
    pub cir_b: u8,
    /// Committed rate, exponent.
    pub cir_u: u8,
    /// Committed rate, divisor exponent.
    pub cir_s: u8,
    /// Bucket size, exponent; its mantissa is always 1.
    pub cbs_s: u8,
}

/// Largest quality of service.
const MOST: u16 = 1000;

impl ShaperFields {
    /// The entry of a quality of service of 1000: everything.
    pub const FULL: Self = Self { cir_b: 150, cir_u: 6, cir_s: 0, cbs_s: 19 };

    /// Finds the fields for a quality of service of 1 to 1000; `None` for anything else.
    pub fn for_qos(qos: u16) -> Option<Self> {
        if !(1..=MOST).contains(&qos) {
            return None;
        }
        // In Mbit/s.
        let rate = u32::from(qos) * 100;
        let cir_s = match rate {
            0..=100 => 4,
            101..=200 => 3,
            201..=500 => 2,
            501..=1000 => 1,
            _ => 0,
        };
        let cbs_s = match rate {
            0..=200 => 9,
            201..=500 => 11,
            501..=1000 => 12,
            1001..=10_000 => 16,
            10_001..=25_000 => 17,
            25_001..=50_000 => 18,
            _ => 19,
        };
        (100..=200)
            .flat_map(|cir_b| (0..=6).map(move |cir_u| Self { cir_b, cir_u, cir_s, cbs_s }))
            .find(|fields| fields.rate().abs_diff(rate) * 1000 <= rate * 5)
    }

    /// The rate in Mbit/s, rounded down.
    pub const fn rate(&self) -> u32 {
        ((self.cir_b as u32) << self.cir_u) * 8000 / (0x300 << self.cir_s)
    }

    /// The rate in units of 1/16 of the committed rate's step: what rates compare by, without rounding.
    pub const fn weight(&self) -> u64 {
        ((self.cir_b as u64) << self.cir_u << 4) >> self.cir_s
    }

    /// Quality of service, rounded to the nearest; 0 for an entry below 1.
    pub const fn qos(&self) -> u16 {
        ((self.rate() + 50) / 100) as u16
    }

    /// The entry.
    pub fn encode(&self) -> u64 {
        (SHAPER::CIR_B.val(self.cir_b.into())
            + SHAPER::CIR_U.val(self.cir_u.into())
            + SHAPER::CIR_S.val(self.cir_s.into())
            + SHAPER::CBS_B::SET
            + SHAPER::CBS_S.val(self.cbs_s.into()))
        .value
    }

    /// Reads an entry; `None` for one of rate 0.
    pub fn decode(entry: u64) -> Option<Self> {
        let word = LocalRegisterCopy::<u64, SHAPER::Register>::new(entry);
        let fields = Self {
            cir_b: word.read(SHAPER::CIR_B) as u8,
            cir_u: word.read(SHAPER::CIR_U) as u8,
            cir_s: word.read(SHAPER::CIR_S) as u8,
            cbs_s: word.read(SHAPER::CBS_S) as u8,
        };
        (fields.cir_b != 0).then_some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rows_40_and_41() {
        assert_eq!(ShaperFields::for_qos(1000).unwrap().encode(), 0x0098_8696);
        assert_eq!(ShaperFields::for_qos(1000), Some(ShaperFields::FULL));
        assert_eq!(ShaperFields::for_qos(1).unwrap().encode(), 0x0048_a09a);
        assert_eq!(ShaperFields::decode(0x0098_8696), Some(ShaperFields::FULL));
    }

    /// Every quality of service has an entry whose exact rate is within 5/1000, and the divisor and bucket columns of B.5.
    #[test]
    fn every_quality_of_service_is_met() {
        // Miri sees every ninetieth.
        for qos in (1..=1000u16).step_by(if cfg!(miri) { 90 } else { 1 }) {
            let fields = ShaperFields::for_qos(qos).unwrap();
            let exact = f64::from(fields.cir_b) * f64::from(1u32 << fields.cir_u) * 8000.0 / (768.0 * f64::from(1u32 << fields.cir_s));
            let wanted = f64::from(qos) * 100.0;
            assert!((exact - wanted).abs() / wanted < 0.0051 + 1.0 / wanted, "{qos}: {exact}");
            assert_eq!(ShaperFields::decode(fields.encode()), Some(fields));
            assert!(fields.qos().abs_diff(qos) <= 1 + qos / 200, "{qos}: {}", fields.qos());
        }
        let columns = [(1, 4, 9), (2, 3, 9), (3, 2, 11), (5, 2, 11), (6, 1, 12), (10, 1, 12), (11, 0, 16), (100, 0, 16), (101, 0, 17)];
        for (qos, cir_s, cbs_s) in columns.into_iter().chain([(250, 0, 17), (251, 0, 18), (500, 0, 18), (501, 0, 19)]) {
            let fields = ShaperFields::for_qos(qos).unwrap();
            assert_eq!((fields.cir_s, fields.cbs_s), (cir_s, cbs_s), "{qos}");
        }
        assert_eq!((ShaperFields::for_qos(0), ShaperFields::for_qos(1001)), (None, None));
        assert_eq!(ShaperFields::decode(0), None);
    }
}
