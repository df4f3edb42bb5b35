//! What is compressed and decompressed.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use hal_aarch64::semihost::{File as HostFile, Mode};

/// Most bytes of a file that are read.
pub const WHOLE: usize = 256 << 10;

/// Files of the corpus.
pub const NAMES: [&str; 9] = ["dickens", "elf_arm64", "mr", "nci", "ooffice", "osdb", "reymont", "sqlite3.c", "xml"];

/// The directory of the corpus.
const CORPUS: &str = match option_env!("CORPUS_DIR") {
    Some(directory) => directory,
    None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"),
};

/// The beginning of a file.
pub struct File {
    /// Its name.
    pub name: String,
    /// At most `WHOLE` bytes.
    pub bytes: Vec<u8>,
    /// Raw streams of zlib, one behind the other: the whole, and the requests.
    pub streams: Option<[Vec<u8>; 2]>,
}

/// Reads at most `most` bytes of a host file.
fn read(path: String, most: usize) -> Option<Vec<u8>> {
    let mut file = HostFile::open(&CString::new(path).ok()?, Mode::Read).ok()?;
    let mut bytes = vec![0; most.min(file.len_bytes().ok()? as usize)];
    let mut at = 0;
    while at < bytes.len() {
        match file.read(&mut bytes[at..]) {
            Ok(0) | Err(_) => return None,
            Ok(read) => at += read,
        }
    }
    Some(bytes)
}

/// Returns a file of the corpus, if it is there and long enough. One at a time: the heap does not hold them all.
pub fn file(name: &str) -> Option<File> {
    let bytes = read(format!("{CORPUS}/{name}"), WHOLE).filter(|bytes| bytes.len() == WHOLE)?;
    let stream = |kind: &str| read(format!("{}/{name}.{kind}", option_env!("STREAMS_DIR")?), usize::MAX);
    let streams = stream("whole").and_then(|whole| Some([whole, stream("4k")?]));
    Some(File { name: name.to_string(), bytes, streams })
}

/// Returns what is measured where there is no corpus.
pub fn made() -> File {
    File { name: "made".to_string(), bytes: made_text(), streams: None }
}

/// Words of a skewed vocabulary.
fn made_text() -> Vec<u8> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let words: Vec<Vec<u8>> =
        (0..4000).map(|_| (0..2 + next() % 9).map(|_| b'a' + (next() % 26).min(next() % 26) as u8).collect()).collect();
    let mut text = Vec::with_capacity(WHOLE);
    while text.len() < WHOLE {
        text.extend_from_slice(&words[(next() % 4000).min(next() % 4000).min(next() % 4000)]);
        text.push(b' ');
    }
    text.truncate(WHOLE);
    text
}
