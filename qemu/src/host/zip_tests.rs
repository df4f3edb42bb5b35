//! Names and files around the sample program; the program itself is tested on the target.

use super::*;
use std::io::{Read, Seek, SeekFrom};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).expect("readable").flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_path_becomes_one_word() {
    assert_eq!(percent_encode(Path::new("/a b/c%=ä.gz")), "/a%20b/c%25%3D%C3%A4.gz");
}

#[test]
fn output_is_there_whole_or_not_at_all() {
    let room = tempfile::tempdir().expect("a directory");
    let target = room.path().join("out.gz");

    let output = Output::beside(Some(&target)).expect("writable");
    std::fs::write(output.path(), b"half").expect("writable");
    assert!(!target.exists());
    drop(output);
    assert!(names(room.path()).is_empty(), "a partial file stayed behind");

    let output = Output::beside(Some(&target)).expect("writable");
    std::fs::write(output.path(), b"whole").expect("writable");
    output.commit().expect("renamed");
    assert_eq!(names(room.path()), ["out.gz"]);
    assert_eq!(std::fs::read(&target).expect("there"), b"whole");
}

#[test]
fn a_target_that_was_there_keeps_its_mode_and_survives_a_failure() {
    let room = tempfile::tempdir().expect("a directory");
    let target = room.path().join("out");
    std::fs::write(&target, b"old").expect("writable");
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).expect("own file");
    drop(Output::beside(Some(&target)).expect("writable"));
    assert_eq!(std::fs::read(&target).expect("there"), b"old");
    Output::beside(Some(&target)).expect("writable").commit().expect("renamed");
    assert_eq!(std::fs::metadata(&target).expect("there").permissions().mode() & 0o777, 0o640);
}

#[test]
fn unreadable_input_and_unwritable_output_are_one_sentence() {
    let room = tempfile::tempdir().expect("a directory");
    let missing = room.path().join("missing/file");
    assert!(Input::open(Some(&missing), room.path()).is_err_and(|complaint| complaint.sentence.contains("missing")));
    assert!(Input::open(Some(room.path()), room.path()).is_err_and(|complaint| complaint.sentence.contains("directory")));
    assert!(Output::beside(Some(&missing)).is_err());
    assert!(Output::beside(Some(room.path())).is_err());
}

#[test]
fn a_stream_is_written_to_not_replaced() {
    let output = Output::beside(Some(Path::new("/dev/null"))).expect("a device");
    assert!(matches!(output.target, Target::Stream(_)));
    output.commit().expect("swallowed");
    assert!(std::fs::metadata("/dev/null").expect("there").file_type().is_char_device());
}

#[test]
fn progress_is_the_reader_s_position() {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("in");
    std::fs::write(&path, [7u8; 100]).expect("writable");
    let path = std::fs::canonicalize(&path).expect("there");
    let mut file = File::open(&path).expect("readable");
    file.seek(SeekFrom::Start(10)).expect("seekable");
    file.read_exact(&mut [0; 32]).expect("long enough");
    assert_eq!(read_position(std::process::id(), &path), Some(42));
}
