//! A row of the table, and its print.

use firmware_kernel::print_line;

/// What one operation costs.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Instructions at EL0; `None` where the operation does not belong to a program.
    pub el0: Option<u64>,
    /// Instructions at EL1.
    pub el1: u64,
    /// Instructions at EL2.
    pub el2: u64,
    /// Accesses of emulated registers, in hundredths.
    pub traps_hundredths: u64,
}

impl Row {
    /// What this operation costs more than another.
    pub fn beyond(&self, base: &Self) -> Self {
        let less = |a: u64, b: u64| a.saturating_sub(b);
        Self {
            el0: self.el0.map(|el0| less(el0, base.el0.unwrap_or(0))),
            el1: less(self.el1, base.el1),
            el2: less(self.el2, base.el2),
            traps_hundredths: less(self.traps_hundredths, base.traps_hundredths),
        }
    }
}

impl Row {
    /// One of `count` that were measured together.
    pub fn each_of(&self, count: u64) -> Self {
        Self {
            el0: self.el0.map(|el0| el0.div_ceil(count)),
            el1: self.el1.div_ceil(count),
            el2: self.el2.div_ceil(count),
            traps_hundredths: self.traps_hundredths.div_ceil(count),
        }
    }
}

/// Prints what the columns mean.
pub fn head() {
    print_line(format_args!("guest instructions per operation, median unless said; 1 core, model inline, -icount"));
    print_line(format_args!("{:<38}{:>8}{:>8}{:>8}{:>8}  peer, measured once", "", "EL0", "EL1", "EL2", "traps"));
}

/// Prints a row with the figure of somebody else, if there is one.
pub fn print(name: &str, row: &Row, peer: &str) {
    let (whole, part) = (row.traps_hundredths / 100, row.traps_hundredths % 100);
    let Row { el1, el2, .. } = row;
    match (row.el0, part) {
        (Some(el0), 0) => print_line(format_args!("{name:<38}{el0:>8}{el1:>8}{el2:>8}{whole:>8}  {peer}")),
        (Some(el0), _) => print_line(format_args!("{name:<38}{el0:>8}{el1:>8}{el2:>8}{whole:>5}.{part:02}  {peer}")),
        (None, 0) => print_line(format_args!("{name:<38}{:>8}{el1:>8}{el2:>8}{whole:>8}  {peer}", "-")),
        (None, _) => print_line(format_args!("{name:<38}{:>8}{el1:>8}{el2:>8}{whole:>5}.{part:02}  {peer}", "-")),
    }
}

/// Prints a second figure of somebody else.
pub fn note(peer: &str) {
    print_line(format_args!("{:<70}  {peer}", ""));
}
