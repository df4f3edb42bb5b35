//! What tracked files may not be or say.

use super::crates::root;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest file, in lines of code: blank lines, comments and unit tests do not count.
const MOST_CODE_LINES: usize = 700;

/// The files that git tracks or would track; in a checkout without git, all outside `target`.
fn tracked() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root()).output();
    if let Ok(listed) = listed
        && listed.status.success()
    {
        let names = String::from_utf8(listed.stdout).expect("UTF-8 file names");
        return names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).filter(|name| root().join(name).is_file()).collect();
    }
    let mut files = Vec::new();
    walk(Path::new(""), &mut files);
    files
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root().join(directory)).expect("a readable directory").flatten() {
        let name = directory.join(entry.file_name());
        match entry.file_type().expect("a file type") {
            kind if kind.is_dir() && !["target", ".git"].iter().any(|skip| entry.file_name() == *skip) => walk(&name, files),
            kind if kind.is_file() => files.push(name),
            _ => {}
        }
    }
}

/// The tracked texts, but for what others wrote: the lock file and the licences.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    let foreign = ["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];
    tracked()
        .into_iter()
        .filter(move |name| !foreign.iter().any(|foreign| name.ends_with(foreign)))
        .filter_map(|name| Some((name.clone(), std::fs::read_to_string(root().join(&name)).ok()?)))
}

/// Lists the lines in which one of the words stands, not as the rest of a longer word.
fn offences(texts: impl Iterator<Item = (PathBuf, String)>, words: &[String]) -> Vec<String> {
    let continues = |before: char| before.is_alphanumeric() || "._-}/".contains(before);
    let stands = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            // A quote that closes a word joins it to the next one in a shell.
            let before = &line[..at];
            !before.strip_suffix('"').unwrap_or(before).ends_with(continues)
        })
    };
    let mut offences = Vec::new();
    for (name, text) in texts {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| stands(line, word)) {
                offences.push(format!("{}:{}: {word}", name.display(), number + 1));
            }
        }
    }
    offences
}

/// A path of one machine is wrong on every other.
#[test]
fn no_file_names_a_path_of_one_machine() {
    // Put together here, so that this file does not name one either.
    let words = ["tmp", "work", "home", "root", "Users"].map(|directory| format!("/{directory}/"));
    // What runs inside the Linux guest has the guest's own file system.
    let found = offences(texts().filter(|(name, _)| !name.starts_with("qemu/linux/guest")), &words);
    assert!(found.is_empty(), "{found:#?}");
}

/// Unfinished work is listed in docs/NOT_SUPPORTED.md, not in the code; a test that is not run shows nothing.
#[test]
fn no_promises_in_the_code() {
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"]]
        .map(|halves| halves.concat());
    let rust = texts().filter(|(name, _)| name.extension().is_some_and(|extension| extension == "rs"));
    let found = offences(rust, &words);
    assert!(found.is_empty(), "{found:#?}");
}

/// A file is a thing that can be read in one sitting.
#[test]
fn no_file_is_longer_than_it_may_be() {
    let rust = texts().filter(|(name, _)| name.extension().is_some_and(|extension| extension == "rs"));
    let long: Vec<String> = rust
        .map(|(name, text)| (name, code_lines(&text)))
        .filter(|(_, lines)| *lines > MOST_CODE_LINES)
        .map(|(name, lines)| format!("{}: {lines} lines of code", name.display()))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_CODE_LINES}: {long:#?}");
}

/// Counts the lines of code before a file's unit tests.
fn code_lines(text: &str) -> usize {
    let code = text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(code, _tests)| code);
    code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// What a block does not have is found from one page.
#[test]
fn every_table_of_limits_is_in_the_index() {
    let index = std::fs::read_to_string(root().join("docs/NOT_SUPPORTED.md")).expect("docs/NOT_SUPPORTED.md is readable");
    let missing: Vec<PathBuf> = tracked()
        .into_iter()
        .filter(|name| name.starts_with("docs/not_supported"))
        .filter(|name| !index.contains(&format!("({})", name.strip_prefix("docs").unwrap_or(name).display())))
        .collect();
    assert!(missing.is_empty(), "docs/NOT_SUPPORTED.md has no link to {missing:?}");
}

#[test]
fn a_word_is_found_only_where_it_stands_alone() {
    let count = |line: &str| offences(std::iter::once((PathBuf::from("a"), line.to_owned())), &["/etc/".to_owned()]).len();
    assert_eq!((count("in \"/etc/x\""), count("/etc/x"), count("$out/etc/x"), count("\"$out\"/etc/x")), (1, 1, 0, 0));
}

#[test]
fn code_lines_leave_out_what_is_not_code() {
    assert_eq!(code_lines("//! title\n\nfn a() {\n    // why\n}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
    assert_eq!(code_lines("fn a() {}\n#[cfg(test)]\nmod outside;\nfn b() {}\n"), 4);
}
