//! Numbers with two decimals, without floating point.

use core::fmt;

/// A quotient, printed with two decimals, rounded to nearest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quotient {
    pub(crate) dividend: u64,
    pub(crate) divisor: u64,
}

impl fmt::Display for Quotient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.divisor == 0 {
            return f.pad("-");
        }
        let hundredths = (u128::from(self.dividend) * 200 / u128::from(self.divisor)).div_ceil(2);
        let mut text: heapless::String<24> = heapless::String::new();
        fmt::Write::write_fmt(&mut text, format_args!("{}.{:02}", hundredths / 100, hundredths % 100))?;
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::Quotient;

    #[test]
    fn quotients_round_to_nearest() {
        let text = |dividend, divisor| format!("{:>6}", Quotient { dividend, divisor });
        assert_eq!(text(10, 3), "  3.33");
        assert_eq!(text(2, 3), "  0.67");
        assert_eq!(text(0, 16), "  0.00");
        assert_eq!(text(1, 0), "     -");
        assert_eq!(text(262_144, 65_536), "  4.00");
    }
}
