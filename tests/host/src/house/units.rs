//! The unit tests inside the crates, as one test of the plain `cargo test`.
//!
//! Plain `cargo test` builds for bare metal, where there is no test harness; the private tests of a crate need a build for the host. A nested
//! cargo makes it, in a directory of its own, so that the two never wait for each other.

use super::crates::{cargo, root, table};
use std::process::Output;

/// Runs `cargo test --lib` for the host and returns its output.
fn run(packages: &[String], more: &[&std::ffi::OsStr]) -> Output {
    let mut cargo = cargo();
    cargo.args(["test", "--quiet", "--target", "host-tuple", "--lib", "--no-fail-fast"]).args(more);
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo.output().expect("cargo runs")
}

/// Judges a run: every crate's harness has reported, and none a failure. Returns the number of tests.
fn judge(output: &Output, crates: usize) -> usize {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let passed: Vec<usize> =
        text.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed")?.0.parse().ok()).collect();
    assert_eq!(passed.len(), crates, "not every crate has reported:\n{text}\n{errors}");
    passed.iter().sum()
}

#[test]
fn unit_tests_of_the_crates() {
    let packages: Vec<String> =
        table().into_iter().filter(|(name, row)| row.host_tests && name != "qemu-runner").map(|(name, _)| name).collect();
    assert!(packages.len() > 10, "the table names too few crates: {packages:?}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("units");
    let count = judge(&run(&packages, &["--target-dir".as_ref(), target.as_os_str()]), packages.len());
    println!("{count} unit tests in {} crates", packages.len());
    assert!(count > 0);
}

/// The runner is built by its own profile, in the place where it is built for a run: no other build goes on there.
#[test]
fn unit_tests_of_the_runner() {
    let count = judge(&run(&["qemu-runner".to_owned()], &["--profile".as_ref(), "runner".as_ref()]), 1);
    println!("{count} unit tests");
    assert!(count > 0);
}
