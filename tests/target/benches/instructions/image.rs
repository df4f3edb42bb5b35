//! What the image and the kernel occupy.

use firmware_kernel::{free_frames, print_line, total_frames};

unsafe extern "C" {
    static __image_start: u8;
    static __rodata_start: u8;
    static __shared_end: u8;
    static __el2_start: u8;
    static __el2_bss_start: u8;
    static __el2_bss_end: u8;
    static __el2_stacks_start: u8;
    static __el2_stacks_end: u8;
    static __el2_heap_start: u8;
    static __el2_heap_end: u8;
    static __el1_stack_start: u8;
    static __el1_stack_end: u8;
    static __bss_start: u8;
    static __bss_end: u8;
    static __el1_heap_start: u8;
    static __el1_heap_end: u8;
}

/// KiB between two symbols, rounded up.
fn kib(start: *const u8, end: *const u8) -> usize {
    (end as usize - start as usize).div_ceil(1024)
}

/// Prints the sizes of this image, in KiB.
pub fn print() {
    print_line(format_args!(""));
    print_line(format_args!("this image, KiB{:>29}{:>8}{:>8}{:>8}{:>8}{:>8}", "text", "rodata", "data", "bss", "stacks", "heap"));
    let text = kib(&raw const __image_start, &raw const __rodata_start);
    let rodata = kib(&raw const __rodata_start, &raw const __shared_end);
    print_line(format_args!("{:<36}{text:>8}{rodata:>8}{:>8}{:>8}{:>8}{:>8}", "all levels, read-only", "-", "-", "-", "-"));
    let room = |name: &str, data: usize, bss: usize, stacks: usize, heap: usize| {
        print_line(format_args!("{name:<36}{:>8}{:>8}{data:>8}{bss:>8}{stacks:>8}{heap:>8}", "-", "-"));
    };
    room(
        "EL2",
        kib(&raw const __el2_start, &raw const __el2_bss_start),
        kib(&raw const __el2_bss_start, &raw const __el2_bss_end),
        kib(&raw const __el2_stacks_start, &raw const __el2_stacks_end),
        kib(&raw const __el2_heap_start, &raw const __el2_heap_end),
    );
    room(
        "EL1",
        kib(&raw const __el1_stack_end, &raw const __bss_start),
        kib(&raw const __bss_start, &raw const __bss_end),
        kib(&raw const __el1_stack_start, &raw const __el1_stack_end),
        kib(&raw const __el1_heap_start, &raw const __el1_heap_end),
    );
    let used = (total_frames() - free_frames()) * 4;
    print_line(format_args!("RAM that the kernel has taken for tables, rings and this bench: {used} KiB of {} MiB", total_frames() / 256));
}
