//! Hands the linker the image's script, the log's, and that of the test list. `rustc-link-arg` of another package does not reach this one.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../linker/image.ld");
    // embedded-test's macro asks for a configuration that only an editor sets.
    println!("cargo::rustc-check-cfg=cfg(rust_analyzer)");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = Path::new(&manifest).join("../../linker/image.ld");
    for kind in ["tests", "benches"] {
        println!("cargo::rustc-link-arg-{kind}=-T{}", script.display());
        println!("cargo::rustc-link-arg-{kind}=-Tdefmt.x");
        println!("cargo::rustc-link-arg-{kind}=-Tembedded-test.x");
    }
}
