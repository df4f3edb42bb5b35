//! Which test shows what: the lists of `docs/checklist` beside the names of the tests. `TESTS_DOC=write` renews `docs/tests.md`.
//!
//! A test that shows an item begins with the block and the item's number, or several numbers: `sm_t04_…`, `ua_o1_o2_…`. The items of the
//! queue interface's specification have numbers without a leading zero (`O1`), those of the validation plan have two digits (`UA-L01`). Items of
//! another block may follow: `ua_o13_sy_m03_…`. `tests/verdicts` puts the verdicts of a run beside the table.

use crate::house::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// An item, its title, and where it is answered if not by a test.
struct Item {
    id: String,
    title: String,
    elsewhere: Option<String>,
}

/// A list: its heading, its file, and the test's way to say an item: with the block in the id, or without.
const LISTS: [(&str, &str); 2] = [("The queue interface (uacce)", "uacce.tsv"), ("The validation plan", "validation.tsv")];

fn items(file: &str) -> Vec<Item> {
    let text = std::fs::read_to_string(root().join("docs/checklist").join(file)).expect("a list of docs/checklist");
    let mut items = Vec::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        let (Some(id), Some(title)) = (cells.next(), cells.next()) else { panic!("{file}: {line}") };
        items.push(Item { id: id.into(), title: title.into(), elsewhere: cells.next().map(str::to_owned) });
    }
    items
}

/// The ids that a test's name begins with, as the lists write them: of a block, then perhaps of another one.
fn ids(name: &str) -> Vec<String> {
    let is_block = |word: &str| matches!(word, "sm" | "qm" | "zp" | "ua" | "sy");
    let mut words = name.split('_').peekable();
    let mut ids = Vec::new();
    while let Some(block) = words.next_if(|word| is_block(word)) {
        let before = ids.len();
        while let Some(id) = words.peek().and_then(|word| id_of(&block.to_uppercase(), word)) {
            ids.push(id);
            words.next();
        }
        if ids.len() == before {
            break;
        }
    }
    ids
}

/// The id that a word is in a block, if it is one.
fn id_of(block: &str, word: &str) -> Option<String> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let letters = word.len() - digits.len();
    if letters != 1 || !matches!(digits.len(), 1 | 2) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let word = word.to_uppercase();
    // The specification's numbers have no leading zero, the plan's always two digits; 10 and more are the specification's for ua.
    let is_plan = word.len() == 3 && (block != "UA" || word.as_bytes()[1] == b'0');
    Some(if is_plan { format!("{block}-{word}") } else { word })
}

/// The names of the tests in a source file, with the module that chose their machine.
fn tests_of(text: &str) -> Vec<(String, Option<String>)> {
    let (mut tests, mut machine, mut is_test) = (Vec::new(), None, false);
    for line in text.lines() {
        // A module in a module boots on no other machine.
        if let Some(rest) = line.strip_prefix("mod ") {
            machine = rest.strip_prefix("on_").and_then(|rest| rest.split([' ', ';', '{']).next()).map(str::to_owned);
        }
        let line = line.trim();
        if line.starts_with("#[test]") {
            is_test = true;
        } else if is_test && let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or(rest);
            tests.push((name.to_owned(), machine.clone()));
            is_test = false;
        }
    }
    tests
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(directory)).expect("a readable directory").flatten() {
        let name = directory.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Built things lie at the root, the suites that boot in `tests/target`.
            if name != Path::new("target") && name != Path::new(".git") {
                sources(&name, files);
            }
        } else if name.extension().is_some_and(|extension| extension == "rs") {
            files.push(name);
        }
    }
}

/// Every test that shows something: by id, its name, file and machine.
fn shown() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut files = Vec::new();
    sources(Path::new(""), &mut files);
    files.sort();
    let mut shown: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(root().join(&file)).expect("a readable source");
        for (name, machine) in tests_of(&text) {
            for id in ids(&name) {
                let place = file.to_string_lossy().replace('\\', "/");
                let place = match &machine {
                    Some(machine) => format!("{place}, `{machine}`"),
                    None => place,
                };
                shown.entry(id).or_default().insert((name.clone(), place));
            }
        }
    }
    shown
}

fn document() -> String {
    let shown = shown();
    let mut out = String::from(
        "# Which test shows what\n\nGenerated from `docs/checklist` and the names of the tests: `TESTS_DOC=write cargo test --target host-tuple \
         -p host-tests matrix`. Every test named here runs in\n`cargo test`, which passes only if all of them do; a word in quotes is the \
         machine that the test boots on. An item without a test shows a dash.\n`tests/verdicts LOG` prints this table with the result of each \
         test in a run whose output is in `LOG`, and fails if one has failed or did not run; CI does.\n",
    );
    let mut known = BTreeSet::new();
    for (heading, file) in LISTS {
        let items = items(file);
        let by_test = items.iter().filter(|item| shown.contains_key(&item.id)).count();
        let elsewhere = items.iter().filter(|item| !shown.contains_key(&item.id) && item.elsewhere.is_some()).count();
        let _ = write!(
            out,
            "\n## {heading}\n\n{} items: {by_test} shown by tests, {elsewhere} answered elsewhere, {} without a test.\n\n| item | what | shown by |\n|---|---|---|\n",
            items.len(),
            items.len() - by_test - elsewhere
        );
        for item in items {
            let mut cell = String::new();
            for (name, place) in shown.get(&item.id).into_iter().flatten() {
                let _ = write!(cell, "{}`{name}` ({place})", if cell.is_empty() { "" } else { "<br>" });
            }
            if cell.is_empty() {
                cell = item.elsewhere.unwrap_or_else(|| "–".into());
            }
            let _ = writeln!(out, "| {} | {} | {cell} |", item.id, item.title);
            known.insert(item.id);
        }
    }
    let strays: Vec<&String> = shown.keys().filter(|id| !known.contains(*id)).collect();
    if !strays.is_empty() {
        let _ = writeln!(out, "\nTests name items that no list has: {strays:?}.");
    }
    out
}

/// What an item's answer elsewhere names in quotes is there.
#[test]
fn answers_elsewhere_exist() {
    for (_, file) in LISTS {
        for item in items(file) {
            for name in item.elsewhere.iter().flat_map(|text| text.split('`').skip(1).step_by(2)).filter(|name| name.contains('/')) {
                let name = name.split_whitespace().next().unwrap_or(name);
                assert!(root().join(name).exists(), "{}: {name}", item.id);
            }
        }
    }
}

/// The table follows the tests.
#[test]
fn the_table_of_tests_is_what_the_tests_are_called() {
    let path = root().join("docs/tests.md");
    let document = document();
    if std::env::var_os("TESTS_DOC").is_some_and(|word| word == "write") {
        std::fs::write(&path, &document).expect("docs/tests.md is writable");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/tests.md is stale: run with TESTS_DOC=write");
}

#[test]
fn names_tell_their_items() {
    assert_eq!(ids("sm_t04_a_hole"), ["SM-T04"]);
    assert_eq!(ids("qm_d04_d05_a_foreign_number"), ["QM-D04", "QM-D05"]);
    assert_eq!(ids("ua_k1_o15_f01_copies"), ["K1", "O15", "UA-F01"]);
    assert_eq!(ids("ua_l10_handles"), ["L10"]);
    assert_eq!(ids("ua_o6_o13_sy_m03_memory"), ["O6", "O13", "SY-M03"]);
    assert_eq!(ids("qm_v05_ua_o28_sy_words"), ["QM-V05", "O28"]);
    assert!(ids("sm_words_only").is_empty() && ids("nothing_t04").is_empty() && ids("qm").is_empty());
}

#[test]
fn tests_are_found_with_their_machines() {
    let text = "mod on_2p1 {\n    mod list {}\n    #[test]\n    fn ua_a1_x() {}\n    fn helper() {}\n}\nmod plain {\n#[test]\n#[should_panic]\nfn b() {}\n}\n";
    assert_eq!(tests_of(text), [("ua_a1_x".into(), Some("2p1".into())), ("b".into(), None)]);
}
