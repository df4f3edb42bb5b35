//! The ledger: every request that was accepted ends exactly once.

use std::collections::BTreeMap;

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The data are there and right.
    Ok,
    /// The engine said that it failed.
    Error,
    /// Its queue was stopped first.
    Cancelled,
}

/// Accepted tags and their ends.
#[derive(Default)]
pub struct Ledger {
    tags: BTreeMap<u32, Option<Fate>>,
}

impl Ledger {
    /// Books a new tag; returns it.
    pub fn accept(&mut self) -> u32 {
        let tag = self.tags.len() as u32 + 1;
        self.tags.insert(tag, None);
        tag
    }

    /// Books the end of a request.
    pub fn end(&mut self, tag: u32, fate: Fate) {
        let entry = self.tags.get_mut(&tag).unwrap_or_else(|| panic!("tag {tag} was never accepted"));
        assert_eq!(entry.replace(fate), None, "tag {tag} ends twice, now as {fate:?}");
    }

    /// Accepted, and ended as ok, error, cancelled.
    pub fn sums(&self) -> (usize, [usize; 3]) {
        let ended = |wanted| self.tags.values().filter(|fate| **fate == Some(wanted)).count();
        (self.tags.len(), [Fate::Ok, Fate::Error, Fate::Cancelled].map(ended))
    }

    /// Nothing is open: accepted = ok + error + cancelled.
    pub fn check(&self) {
        let (accepted, ended) = self.sums();
        let open: Vec<_> = self.tags.iter().filter(|(_, fate)| fate.is_none()).map(|(tag, _)| tag).collect();
        assert_eq!(accepted, ended.iter().sum::<usize>(), "tags {open:?} never ended");
    }
}

#[test]
fn a_ledger_notices_what_ends_twice_or_never() {
    let mut ledger = Ledger::default();
    let (first, second) = (ledger.accept(), ledger.accept());
    ledger.end(first, Fate::Ok);
    let never = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.check()));
    assert!(never.is_err());
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.end(first, Fate::Cancelled)));
    assert!(twice.is_err());
    ledger.end(second, Fate::Cancelled);
    ledger.check();
    assert_eq!(ledger.sums().0, 2);
}
