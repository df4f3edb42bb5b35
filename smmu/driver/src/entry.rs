//! Changes a live STE or CD without showing the SMMU a mixture.
//!
//! The SMMU reads an entry word by word, at any moment, and caches what it read. Which bits it looks at depends on other bits of the same entry,
//! so a change is hitless if at most one word holds bits that matter before *and* differ after: unused bits of the other words first, then that
//! word by one store, then the rest, each step made visible by CFGI and CMD_SYNC. Anything else goes through V = 0.

/// An STE or a CD: eight little-endian 64-bit words.
pub(crate) type Words = [u64; 8];

/// How a change was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// The SMMU saw the old entry, then the new one.
    Hitless,
    /// Traffic met an invalid entry in between.
    ThroughInvalid,
}

/// What the stores of a step were for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The next step may only be taken when they are visible, or the change is not in force before.
    Needed,
    /// The change is in force: only bits that the SMMU does not look at any more were stored.
    Tidying,
}

/// Changes an entry from `current` to `target`. `used` tells which bits the SMMU looks at; `target` sets no bit outside its own.
/// `store` writes one word by a single 64-bit store; `sync` makes the stores visible and waits until no cached copy is left. After
/// [`Step::Tidying`], which comes last, it need not wait: whatever is synced next will do.
pub(crate) fn rewrite<E>(
    current: &Words,
    target: &Words,
    used: fn(&Words) -> Words,
    mut store: impl FnMut(usize, u64),
    mut sync: impl FnMut(Step) -> Result<(), E>,
) -> Result<Change, E> {
    let mut step = |from: &Words, to: &Words, words: core::ops::Range<usize>, what: Step| {
        let mut changed = false;
        for i in words {
            if from[i] != to[i] {
                store(i, to[i]);
                changed = true;
            }
        }
        if changed { sync(what) } else { Ok(()) }
    };
    let old_used = used(current);
    let new_used = used(target);
    debug_assert!((0..8).all(|i| target[i] & !new_used[i] == 0), "a bit that nobody looks at is set");
    let mut prepared: Words = core::array::from_fn(|i| (current[i] & old_used[i]) | (target[i] & !old_used[i]));
    let mut differing = (0..8).filter(|i| (prepared[*i] ^ target[*i]) & new_used[*i] != 0);
    match (differing.next(), differing.next()) {
        (None, _) => {
            step(current, target, 0..8, Step::Needed)?;
            Ok(Change::Hitless)
        }
        (Some(critical), None) => {
            prepared[critical] = current[critical];
            step(current, &prepared, 0..8, Step::Needed)?;
            step(&prepared, target, critical..critical + 1, Step::Needed)?;
            prepared[critical] = target[critical];
            step(&prepared, target, 0..8, Step::Tidying)?;
            Ok(Change::Hitless)
        }
        _ => {
            step(current, &[0; 8], 0..1, Step::Needed)?;
            step(current, target, 1..8, Step::Needed)?;
            step(&[0; 8], target, 0..1, Step::Needed)?;
            Ok(Change::ThroughInvalid)
        }
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
