//! The image that `cargo run` boots.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the image runs on aarch64-unknown-none only: `cargo run` from the workspace root");
    std::process::exit(1);
}

#[cfg(target_os = "none")]
firmware::kernel_entry!(start);

#[cfg(target_os = "none")]
fn start(dtb: hal::Pa) -> ! {
    defmt::info!("EL1: device tree at {=u64:#x}", dtb.0);
    hal_aarch64::semihost::exit(0)
}
