//! Who may know whom.

use super::crates::{members, table};
use std::collections::BTreeSet;

/// The table and the workspace name the same crates.
#[test]
fn every_crate_has_its_row() {
    let listed: BTreeSet<String> = table().into_keys().collect();
    let present: BTreeSet<String> = members().into_keys().collect();
    assert_eq!(listed, present, "left: the table in docs/ARCHITECTURE.md, right: the workspace");
}

/// Every edge of the workspace is in the table: a new one is a change of the architecture.
#[test]
fn ua_a2_dependencies_follow_the_table() {
    let table = table();
    let mut broken = Vec::new();
    for (name, member) in members() {
        let Some(row) = table.get(&name) else { continue };
        let unlisted = member.knows.difference(&row.may_know).map(|other| format!("{name} -> {other}"));
        broken.extend(unlisted);
        // Tests inside a crate stand on its floor too; only the suites in tests/ may know everything.
        if !name.ends_with("-tests") {
            broken.extend(member.knows_in_tests.difference(&row.may_know).map(|other| format!("{name} -> {other} (in tests)")));
        }
    }
    assert!(broken.is_empty(), "edges that docs/ARCHITECTURE.md does not have: {broken:#?}");
}

/// An edge that nobody uses any more leaves the table.
#[test]
fn the_table_has_no_stale_edges() {
    let members = members();
    let stale: Vec<String> = table()
        .iter()
        .filter_map(|(name, row)| Some((name, row, members.get(name)?)))
        .flat_map(|(name, row, member)| {
            row.may_know
                .iter()
                .filter(|other| !member.knows.contains(*other) && !member.knows_in_tests.contains(*other))
                .map(move |other| format!("{name} -> {other}"))
        })
        .collect();
    assert!(stale.is_empty(), "edges of docs/ARCHITECTURE.md that no manifest has: {stale:#?}");
}

/// The law behind the table, so that a row cannot be edited into a breach of it.
#[test]
fn ua_a2_t5_the_table_follows_the_floors() {
    let table = table();
    let ends = |name: &str, words: &[&str]| words.iter().any(|word| name.ends_with(word));
    let mut broken = Vec::new();
    for (name, row) in &table {
        for other in &row.may_know {
            assert!(table.contains_key(other), "{name} may know {other}, which is no crate of ours");
            let allowed = match name.as_str() {
                "deflate" | "hal" | "firmware-platform" => false,
                name if ends(name, &["-spec"]) || name == "uacce-abi" || name == "hal-aarch64" => other == "hal",
                name if ends(name, &["-driver", "-model"]) => {
                    let block = name.rsplit_once('-').map_or("", |(block, _)| block);
                    other == "hal" || *other == format!("{block}-spec") || (name == "zip-model" && other == "deflate")
                }
                "uacce-kernel" => ["hal", "uacce-abi"].contains(&other.as_str()),
                "uacce-user" => ["hal", "uacce-abi", "qm-spec", "zip-spec", "dummy-spec"].contains(&other.as_str()),
                "firmware-silicon" => !ends(other, &["-driver"]) && !other.starts_with("uacce") && !ends(other, &["-kernel", "-apps"]),
                "firmware-kernel" => !ends(other, &["-model", "-silicon", "-platform"]) && other != "deflate",
                "firmware-apps" => !ends(other, &["-model", "-driver", "-silicon", "-kernel"]),
                "firmware-kerncore" => other == "hal" || ends(other, &["-spec"]),
                "qemu-runner" => ends(other, &["-spec", "-platform"]) || other == "hal",
                "firmware" | "host-tests" | "target-tests" => true,
                _ => panic!("no floor is known for {name}: say in this test where it stands"),
            };
            if !allowed {
                broken.push(format!("{name} -> {other}"));
            }
        }
    }
    assert!(broken.is_empty(), "the table breaks the law of the floors: {broken:#?}");
}

/// What stands between PCI and a process knows no engine: neither by a crate nor by a word of its code, so that a further engine changes none of it.
#[test]
fn ua_t5_o9_neither_the_core_nor_the_queue_manager_knows_an_engine() {
    let members = members();
    let is_engine = |name: &str| ["zip", "dummy", "deflate"].iter().any(|word| name.contains(word));
    for name in ["uacce-abi", "uacce-kernel", "qm-spec", "qm-driver", "qm-model"] {
        let member = &members[name];
        let known: Vec<_> = member.knows.union(&member.knows_in_tests).filter(|other| is_engine(other)).collect();
        assert!(known.is_empty(), "{name} knows {known:?}");
        for entry in std::fs::read_dir(member.directory.join("src")).expect("a crate has sources").flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            // Its tests may take examples from where they like, and comments say what a field means to whom.
            let code = text.split("#[cfg(test)]").next().unwrap_or("");
            let words =
                code.lines().map(|line| line.split("//").next().unwrap_or("")).flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
            // `zip` is also what joins two iterators.
            let named = words.filter(|word| is_engine(&word.to_lowercase()) && !["zip", "unzip"].contains(word)).count();
            assert_eq!(named, 0, "{} names an engine", entry.path().display());
        }
    }
}
