//! The table of crates in `docs/ARCHITECTURE.md`, and what cargo knows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tinyjson::JsonValue;

/// A row of the table.
pub struct Row {
    /// Crates of ours that it may depend on.
    pub may_know: BTreeSet<String>,
    /// Whether the crate forbids `unsafe`.
    pub forbids_unsafe: bool,
    /// Whether its unit tests run on the host.
    pub host_tests: bool,
}

/// A workspace member, from `cargo metadata`.
pub struct Member {
    /// Directory of its manifest.
    pub directory: PathBuf,
    /// Crates of ours in its `[dependencies]` and `[build-dependencies]`.
    pub knows: BTreeSet<String>,
    /// Crates of ours in its `[dev-dependencies]`.
    pub knows_in_tests: BTreeSet<String>,
}

/// Returns the workspace's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Returns a `cargo` that does not inherit what the outer cargo was told about flags and targets.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    cargo.current_dir(root());
    cargo
}

/// Reads the table: lines of the form `| crate | may know | unsafe | unit tests |` after the heading "Crates".
pub fn table() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md is readable");
    let after = text.split_once("## Crates").expect("docs/ARCHITECTURE.md has a chapter \"Crates\"").1;
    let chapter = after.split_once("\n## ").map_or(after, |(chapter, _)| chapter);
    let mut rows = BTreeMap::new();
    for line in chapter.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, may_know, unsafety, tests, ..] = cells[..] else { panic!("a row with too few cells: {line}") };
        let row = Row {
            may_know: names(may_know),
            forbids_unsafe: one_of(unsafety, ["forbidden", "island"], line),
            host_tests: one_of(tests, ["host", "none"], line),
        };
        assert!(rows.insert(name.trim_matches('`').to_owned(), row).is_none(), "{name} stands twice in the table");
    }
    rows
}

fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn one_of(cell: &str, words: [&str; 2], line: &str) -> bool {
    assert!(words.contains(&cell), "the cell {cell:?} is neither of {words:?}: {line}");
    cell == words[0]
}

/// Asks cargo for the workspace's members.
pub fn members() -> BTreeMap<String, Member> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo metadata is UTF-8");
    let metadata: JsonValue = text.parse().expect("cargo metadata is JSON");
    let packages = list(&metadata["packages"]);
    let ours: BTreeSet<String> = packages.iter().map(|package| string(&package["name"])).collect();
    packages
        .iter()
        .map(|package| {
            let of_kind = |wanted: &[&str]| -> BTreeSet<String> {
                list(&package["dependencies"])
                    .iter()
                    // An ordinary dependency has the kind null.
                    .filter(|dependency| wanted.contains(&dependency["kind"].get::<String>().map_or("normal", String::as_str)))
                    .map(|dependency| string(&dependency["name"]))
                    .filter(|name| ours.contains(name))
                    .collect()
            };
            let manifest = PathBuf::from(string(&package["manifest_path"]));
            let member = Member {
                directory: manifest.parent().expect("a manifest lies in a directory").to_owned(),
                knows: of_kind(&["normal", "build"]),
                knows_in_tests: of_kind(&["dev"]),
            };
            (string(&package["name"]), member)
        })
        .collect()
}

fn list(value: &JsonValue) -> &[JsonValue] {
    value.get::<Vec<JsonValue>>().expect("a list")
}

fn string(value: &JsonValue) -> String {
    value.get::<String>().expect("a string").clone()
}
