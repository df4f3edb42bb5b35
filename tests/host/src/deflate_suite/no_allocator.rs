//! The codec links into a program that has no allocator, and one that wants one does not: so the first says something.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A bare-metal program around what stands in the place of `BODY`: all contexts as statics, and a step of each.
const PROGRAM: &str = r#"
#![no_std]
#![no_main]
use deflate::{Deflate, DeflateBalanced, DeflateBest, DeflateHigh, Flush, Framing, Inflate, Params, Request, inflate_together};
static mut INFLATE: [Inflate; 2] = [Inflate::new(), Inflate::new()];
static mut FASTEST: Deflate = Deflate::new();
static mut BALANCED: DeflateBalanced = DeflateBalanced::new();
static mut HIGH: DeflateHigh = DeflateHigh::new();
static mut BEST: DeflateBest = DeflateBest::new();
static mut FINDER: deflate::lz77::Finder = deflate::lz77::Finder::new();
macro_rules! step {
    ($context:ident, $input:expr, $output:expr) => {{
        // SAFETY: one thread, and no other reference to it.
        let context = unsafe { &mut *(&raw mut $context) };
        context.reset(Params::new(Framing::GzipBody));
        context.step($input, $output, Flush::Finish).produced
    }};
}
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let (input, mut output) = ([7u8; 64], [0u8; 128]);
    let mut sum = step!(FASTEST, &input, &mut output) + step!(BALANCED, &input, &mut output);
    sum += step!(HIGH, &input, &mut output) + step!(BEST, &input, &mut output);
    // SAFETY: likewise.
    let contexts = unsafe { &mut *(&raw mut INFLATE) };
    sum += contexts[0].step(&input, &mut output).produced;
    inflate_together(contexts, &mut [Request::new(Framing::Raw, &input, &mut output)]);
    core::hint::black_box((&raw mut FINDER, deflate::checksum::crc32(0, &output), deflate::checksum::adler32(1, &output), BODY, sum));
    loop {}
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
"#;

fn rustc(directory: &Path, arguments: &[&str]) -> Output {
    // In the root, where the toolchain file is.
    Command::new("rustc")
        .current_dir(ROOT)
        .args(["--edition=2024", "--target=aarch64-unknown-none", "-Cpanic=abort", "--cap-lints=allow", "--out-dir"])
        .arg(directory)
        .args(arguments)
        .output()
        .expect("rustc runs")
}

/// Links the program and returns what the compiler says.
fn link(directory: &Path, name: &str, program: &str) -> Output {
    let source: PathBuf = directory.join(format!("{name}.rs"));
    std::fs::write(&source, program).expect("a directory to write to");
    let codec = format!("--extern=deflate={}/libdeflate.rlib", directory.display());
    rustc(directory, &["--crate-type=bin", &codec, &source.display().to_string()])
}

#[test]
fn the_codec_links_without_an_allocator() {
    let directory = std::env::temp_dir().join(format!("deflate-no-allocator-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory to write to");
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let codec = rustc(&directory, &["--crate-type=rlib", "--crate-name=deflate", "-Copt-level=1", "zip-engine/deflate/src/lib.rs"]);
    assert!(codec.status.success(), "{}", said(&codec));
    let linked = link(&directory, "without", &PROGRAM.replace("BODY", "0"));
    assert!(linked.status.success(), "{}", said(&linked));
    let wanting = PROGRAM.replace("BODY", "alloc::boxed::Box::new(0)").replace("#![no_main]", "#![no_main]\nextern crate alloc;");
    let refused = link(&directory, "with", &wanting);
    assert!(!refused.status.success() && said(&refused).contains("no global memory allocator"), "{}", said(&refused));
    std::fs::remove_dir_all(&directory).expect("the directory can be removed");
}
