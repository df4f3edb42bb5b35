//! The image that `cargo run` boots.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the image runs on aarch64-unknown-none only: `cargo run` from the workspace root");
    std::process::exit(1);
}

#[cfg(target_os = "none")]
firmware::kernel_entry!(start);

/// Starts the kernel with the apps; the command line chooses one.
#[cfg(target_os = "none")]
fn start(tree: hal::Pa) -> ! {
    firmware_kernel::start(&firmware::boot(tree))
}
