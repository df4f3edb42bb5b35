//! What is compressed: the files of `CORPUS_DIR`, or data made here when there are none.

use std::path::PathBuf;

/// A file and its name.
pub struct File {
    /// Name without its directory.
    pub name: String,
    /// Contents, cut to the limit of the run.
    pub bytes: Vec<u8>,
}

/// Reads the corpus, every file cut to `most` bytes, sorted by name.
pub fn corpus(most: usize) -> Vec<File> {
    let directory = std::env::var_os("CORPUS_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus")), PathBuf::from);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(mut bytes) = std::fs::read(entry.path()) else { continue };
        // Sums and notes beside the corpus are too small to say anything.
        if bytes.len() >= 64 << 10 {
            bytes.truncate(most);
            files.push(File { name, bytes });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.is_empty() {
        eprintln!("no files in {} (set CORPUS_DIR): made data", directory.display());
        files = made(most.min(1 << 20));
    }
    files
}

/// Text of a skewed vocabulary, records, and noise.
fn made(len: usize) -> Vec<File> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize
    };
    let words: Vec<Vec<u8>> =
        (0..4000).map(|_| (0..2 + next() % 9).map(|_| b'a' + (next() % 26).min(next() % 26) as u8).collect()).collect();
    let mut text = Vec::new();
    while text.len() < len {
        text.extend_from_slice(&words[(next() % 4000).min(next() % 4000).min(next() % 4000)]);
        text.push(b' ');
    }
    let records: Vec<u8> = (0u32..).flat_map(|i| [i, i * i % 977, 0x40, next() as u32 % 9]).flat_map(u32::to_le_bytes).take(len).collect();
    let noise = (0..len).map(|_| next() as u8).collect();
    let file = |name: &str, bytes| File { name: name.to_owned(), bytes };
    vec![file("text", text), file("records", records), file("random", noise)]
}
