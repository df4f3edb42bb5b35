//! Reference documents made from the sources of a spec crate.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use hal::RegInfo;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the checkout.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares a document with what it should be; where the environment variable `renew` is set it is written.
pub fn stands(path: &str, text: &str, renew: &str) {
    if std::env::var_os(renew).is_some() {
        std::fs::write(root().join(path), text).expect("a writable document");
    }
    let now = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(now == text, "{path} is stale: run the test with {renew}=write");
}

/// The layouts of a spec file: every `pub NAME [ fields ]` of its `register_bitfields!`.
pub fn layouts(out: &mut String, path: &str) {
    let (mut notes, mut inside) = (String::new(), false);
    for line in read(path).lines().map(str::trim) {
        if let Some(note) = line.strip_prefix("/// ") {
            notes = if notes.is_empty() { note.to_owned() } else { format!("{notes} {note}") };
            continue;
        }
        if let Some(name) = line.strip_prefix("pub ").and_then(|l| l.strip_suffix(" [")) {
            inside = true;
            let _ = writeln!(out, "\n### {name}\n\n{notes}\n\n| bits | field | |\n|---|---|---|");
        } else if inside && matches!(line, "]," | "]") {
            inside = false;
        } else if inside && let Some((name, rest)) = line.split_once(" OFFSET(") {
            let number = |text: &str| text.split(')').next().and_then(|n| n.parse::<u32>().ok()).expect("a number");
            let (low, width) = (number(rest), number(rest.split("NUMBITS(").nth(1).expect("a width")));
            let bits = if width == 1 { low.to_string() } else { format!("{}:{low}", low + width - 1) };
            let _ = writeln!(out, "| {bits} | {name} | {notes} |");
        }
        notes.clear();
    }
}

/// The register map of a table, with what its source file says of each.
pub fn registers(out: &mut String, table: &[RegInfo], path: &str) {
    let mut notes: BTreeMap<String, String> = BTreeMap::new();
    let mut note = String::new();
    for line in read(path).lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            note = if note.is_empty() { text.to_owned() } else { format!("{note} {text}") };
        } else {
            if let Some((name, _)) = line.split_once(": u") {
                notes.insert(name.to_owned(), std::mem::take(&mut note));
            }
            note.clear();
        }
    }
    out.push_str("\n| offset | register | bytes | access | reset | |\n|---|---|---|---|---|---|\n");
    for reg in table {
        // The sentence says name, offset and access again; what is new in it is between.
        let note = notes.get(reg.name).map_or("", String::as_str);
        let note = note.split_once(" — ").map_or(note, |(_, rest)| rest);
        let note = note.split(" Offset 0x").next().unwrap_or_default();
        let note = if note.starts_with(reg.name) { "" } else { note };
        let _ = writeln!(out, "| {:#x} | {} | {} | {:?} | {:#x} | {note} |", reg.offset, reg.name, reg.bytes, reg.permission, reg.reset);
    }
}
