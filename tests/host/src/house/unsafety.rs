//! Where `unsafe` may stand.

use super::crates::{members, root, table};

/// Crates whose row says "forbidden" say so themselves, where the compiler reads it.
#[test]
fn unsafe_is_forbidden_where_the_table_says_so() {
    let table = table();
    for (name, member) in members() {
        let Some(row) = table.get(&name) else { continue };
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| member.directory.join(file));
        let mut seen = 0;
        for file in roots.iter().filter(|file| file.exists()) {
            let text = std::fs::read_to_string(file).expect("a readable crate root");
            let forbids = text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
            assert!(!row.forbids_unsafe || forbids, "{} lacks #![forbid(unsafe_code)]", file.display());
            seen += 1;
        }
        assert!(seen > 0, "{name} has no crate root in src");
    }
}

/// Crates whose row says "island" are described: which invariant, who upholds it.
#[test]
fn every_island_is_in_the_soundness_document() {
    let text = std::fs::read_to_string(root().join("docs/SOUNDNESS.md")).expect("docs/SOUNDNESS.md is readable");
    let missing: Vec<String> = table()
        .into_iter()
        .filter(|(_, row)| !row.forbids_unsafe)
        .map(|(name, _)| name)
        .filter(|name| !text.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/SOUNDNESS.md says nothing about {missing:?}");
}
