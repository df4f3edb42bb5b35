//! Entry of the cargo runner; everything is in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

// Built for bare metal only because `--workspace` says so: nothing ever runs this.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    qemu_runner::main()
}
