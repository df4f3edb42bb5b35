//! What the codec costs in guest instructions per byte: `cargo bench -p target-tests --bench codec`.
//!
//! One core under `-icount`, at EL1: two runs print the same table. The files are those of `CORPUS_DIR` when this was built, else of the shared corpus,
//! read through semihosting; floors hold for them. Without them, text that is made here is measured and nothing asserted. Whole is the first 256 KiB
//! of a file for decompression and 128 KiB for compression, 4 KiB the first 64 and 32 KiB cut into requests: so were the figures of others measured.
//!
//! Streams to decode are zlib's at level 6 where `STREAMS_DIR` named some when this was built (`cargo bench -- --write-streams DIR` in
//! `zip-engine/bench`), else those of the codec's own high level.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
target_tests::suite!();

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod data;
#[cfg(target_os = "none")]
mod measure;

#[cfg(target_os = "none")]
#[embedded_test::tests(default_timeout = 120)]
mod on_1p0_icount {
    use super::{data, measure};
    use firmware_kernel::print_line;
    use hal_aarch64::pmu;

    /// Most instructions per byte, in hundredths: decompression and fastest compression, whole and in requests of 4 KiB. What it took when this was written, and
    /// something for streams by other encoders; both are below what libdeflate takes.
    const INFLATE_MAX: [u64; 2] = [530, 950];
    const DEFLATE_MAX: [u64; 2] = [1900, 2800];

    #[test]
    fn instructions_per_byte() {
        // For its heap; the timer stays silent.
        firmware_kernel::init(&target_tests::firmware::boot(target_tests::device_tree())).expect("the kernel boots");
        firmware_kernel::set_tick(false);
        pmu::start();
        print_line(format_args!("guest instructions per byte at EL1, -icount"));
        print_line(format_args!("{:<14}{:>16}{:>16}{:>16}{:>16}  streams", "", "inflate", "of 4 KiB", "deflate fastest", "of 4 KiB"));
        let mut sums = [measure::Cost::default(); 4];
        let mut files = 0;
        let mut measure = |file: &data::File| {
            let costs = measure::file(file);
            for (sum, cost) in sums.iter_mut().zip(costs) {
                *sum = sum.and(cost);
            }
            print(&file.name, &costs, if file.streams.is_some() { "zlib's level 6" } else { "own high level" });
        };
        for name in data::NAMES {
            if let Some(file) = data::file(name) {
                measure(&file);
                files += 1;
            }
        }
        if files == 0 {
            measure(&data::made());
        }
        print("all", &sums, "");
        print_line(format_args!("{:<14}{:>16}{:>16}{:>16}{:>16}", "libdeflate", "5.90", "10.80", "30.50", "43.60"));
        if files == data::NAMES.len() {
            let floors = INFLATE_MAX.into_iter().chain(DEFLATE_MAX);
            let missed = sums.iter().zip(floors).filter(|(sum, most)| sum.hundredths_per_byte() > *most).count();
            assert_eq!(missed, 0, "figures are above {INFLATE_MAX:?} or {DEFLATE_MAX:?} hundredths");
        }
    }

    fn print(name: &str, costs: &[measure::Cost; 4], note: &str) {
        let [a, b, c, d] = costs.map(|cost| (cost.hundredths_per_byte() / 100, cost.hundredths_per_byte() % 100));
        print_line(format_args!(
            "{name:<14}{:>13}.{:02}{:>13}.{:02}{:>13}.{:02}{:>13}.{:02}  {note}",
            a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1
        ));
    }
}
