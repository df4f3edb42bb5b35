//! `cargo test` and `cargo bench` on the target: every test in a QEMU of its own, with libtest's output and filters.

use super::complaint::{Complaint, Outcome};
use super::counted::Counted;
use super::emulator::{Ending, Launch, run as run_emulator};
use super::image::{Image, TestCase};
use super::machine::{DUMMY, Machine, Revision};
use super::transcript::{Detail, Style, Transcript};
use super::tree::Boot;
use libtest_mimic::{Arguments, Failed, Trial};
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Exit code of a guest whose panic handler ran.
const EXIT_PANIC: u8 = 101;
/// Time limit of a test without `#[timeout]`, on an idle host.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);
/// Marks a module whose tests want another machine: `on_bare_edu`, `on_1p3_icount`.
const MACHINE_PREFIX: &str = "on_";
/// A DMA engine for machines without our silicon; its default address mask is too narrow for virt's RAM.
const EDU: &str = "edu,dma_mask=0xffffffffff";

/// Runs the tests of a test image and returns the exit code.
///
/// # Errors
/// A module asks for a machine that there is not, or the environment does.
pub fn run(image: &Image, words: impl Iterator<Item = OsString>) -> Outcome<u8> {
    let words: Vec<OsString> = words.collect();
    let is_bench = words.iter().any(|word| word == "--bench");
    let mut arguments = Arguments::from_iter(std::iter::once(OsString::from("tests")).chain(words));
    let base = base_machine(is_bench)?;
    let jobs = image
        .tests()
        .iter()
        .map(|test| machine_of(&test.name, &base).map(|machine| (test.clone(), machine)))
        .collect::<Outcome<Vec<_>>>()?;

    let host_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let guest_cores = jobs.iter().map(|(_, machine)| machine.cpus() as usize).max().unwrap_or(1);
    // Instruction counts do not mind a busy host, but a table is read in order.
    let threads = arguments.test_threads.unwrap_or(if is_bench { 1 } else { (host_cores / guest_cores).max(1) });
    arguments.test_threads = Some(threads);
    let live = arguments.nocapture || is_bench;

    let image = Arc::new(Image::load(image.path())?);
    let trials = jobs
        .into_iter()
        .map(|(test, machine)| {
            let image = Arc::clone(&image);
            let crowd = (threads * machine.cpus() as usize).div_ceil(host_cores).max(1);
            let limit = test.timeout.unwrap_or(DEFAULT_LIMIT) * u32::try_from(crowd).unwrap_or(1);
            let ignored = test.ignored;
            Trial::test(test.name.clone(), move || run_one(&image, &test, &machine, limit, live)).with_ignored_flag(ignored)
        })
        .collect();
    // A benchmark image is not asked for benchmarks one by one: its tests are the rows.
    arguments.bench = false;
    arguments.test = true;
    Ok(if libtest_mimic::run(&arguments, trials).has_failed() { EXIT_PANIC } else { 0 })
}

/// The machine that the environment asks for. Benchmarks count instructions with the model inline.
fn base_machine(is_bench: bool) -> Outcome<Machine> {
    let number = |name: &str, default: u32, least: u32| match std::env::var(name) {
        Err(_) => Ok(default),
        Ok(text) => match text.parse() {
            Ok(number) if (least..=8).contains(&number) => Ok(number),
            _ => Err(Complaint { sentence: format!("{name}={text}: a number from {least} to 8 is wanted"), code: 2 }),
        },
    };
    let icount = is_bench || std::env::var("SOC_ICOUNT").is_ok_and(|text| !["", "0", "false", "no", "off"].contains(&text.as_str()));
    Ok(Machine {
        host_cores: number("SOC_SMP", 1, 1)?,
        engine_cores: number("SOC_ENGINES", u32::from(!is_bench), 0)?,
        icount_shift: icount.then_some(0),
        ..Machine::default()
    })
}

/// Reads the machine that a test wants out of its module's name; what the name does not say is the base machine's.
///
/// Words, joined by `_`: `bare` (no EL2), `edu` (QEMU's DMA engine), `dummy` (the dummy engine), `icount`, `rev21`, `rev30`, `rev51`, `NpM` (N host and M engine cores), and
/// for the SMMU's TLB `miss`, `random`, `prefetch`, and `atspri` for one with ATS and page requests instead of stalls. How the kernel shares
/// memory with processes: `pasid`, `domain`, `noiommu`, or `kernelonly`. `ssidN`: SubstreamIDs have N bits.
fn machine_of(test: &str, base: &Machine) -> Outcome<Machine> {
    let mut machine = base.clone();
    let modules = test.rsplit_once("::").map_or("", |(modules, _)| modules);
    for module in modules.split("::") {
        let Some(words) = module.strip_prefix(MACHINE_PREFIX) else { continue };
        for word in words.split('_') {
            match word {
                "bare" => machine.bare = true,
                "edu" => machine.devices.push(EDU.to_owned()),
                "dummy" => machine.devices.push(DUMMY.to_owned()),
                "icount" => machine.icount_shift = Some(0),
                "rev21" => machine.revision = Revision::V2,
                "rev30" => machine.revision = Revision::V3,
                "atspri" => machine.smmu_profile = word.to_owned(),
                "rev51" => machine.revision = Revision::V5,
                "pasid" | "domain" => machine.bootargs += &format!(" uacce_share={word}"),
                "noiommu" => machine.bootargs += " uacce_mode=2",
                "kernelonly" => machine.bootargs += " uacce_mode=0",
                "miss" | "random" | "prefetch" => machine.tlb_policy = word.to_owned(),
                _ => {
                    let bits = word.strip_prefix("ssid").and_then(|bits| bits.parse().ok()).filter(|bits| (1..=20).contains(bits));
                    if bits.is_some() {
                        machine.ssid_bits = bits;
                        continue;
                    }
                    let cores = word.split_once('p').and_then(|(host, engine)| Some((host.parse().ok()?, engine.parse().ok()?)));
                    let Some((host @ 1..=8, engine @ 0..=8)) = cores else {
                        return Err(Complaint::new(format!("test {test}: the runner knows no machine word {word:?} (module {module})")));
                    };
                    (machine.host_cores, machine.engine_cores) = (host, engine);
                }
            }
        }
    }
    machine.check()?;
    Ok(machine)
}

/// Runs one test. Its words are shown when it fails, or as they come with `--nocapture`.
fn run_one(image: &Image, test: &TestCase, machine: &Machine, limit: Duration, live: bool) -> Result<(), Failed> {
    let arguments = ["run_addr".to_owned(), test.entry.to_string()];
    let boot = Boot { bootargs: format!("app=test{}", machine.bootargs), ..Boot::default() };
    let launch =
        Launch { machine, image: image.path(), boot: &boot, blobs: &[], semihosting: Some(&arguments), limit: Some(limit), trace: None };
    let style = Style { detail: Detail::Verbose, colour: false, hold_console: machine.icount_shift.is_some() };
    let out: Box<dyn Write> = if live { Box::new(std::io::stdout()) } else { Box::new(SharedText::default()) };
    let text = SharedText::default();
    let out = if live { out } else { Box::new(text.clone()) };
    let mut watcher = Counted::new(Transcript::new(image, style, out));
    let ending = run_emulator(&launch, &mut watcher);
    let progress = watcher.progress();
    watcher.finish();
    let verdict = match (ending, test.should_panic) {
        (Err(complaint), _) => Err(complaint.sentence),
        (Ok(Ending::Exit(0)), false) | (Ok(Ending::Exit(EXIT_PANIC)), true) => Ok(()),
        (Ok(Ending::Exit(0)), true) => Err("the test did not panic as expected".to_owned()),
        (Ok(Ending::Exit(code)), _) => Err(format!("the guest ended with code {code}")),
        (Ok(Ending::TimedOut), _) => Err(format!("timed out after {} s{progress}", limit.as_secs())),
        (Ok(Ending::Interrupted), _) => Err("interrupted".to_owned()),
    };
    verdict.map_err(|reason| Failed::from(format!("{}{reason}", text.take())))
}

/// Text collected by a transcript and read after it.
#[derive(Clone, Default)]
struct SharedText(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl SharedText {
    fn take(&self) -> String {
        String::from_utf8_lossy(&self.0.take()).into_owned()
    }
}

impl Write for SharedText {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_without_words_takes_the_base_machine() {
        let base = Machine { engine_cores: 3, ..Machine::default() };
        assert_eq!(machine_of("queue::thousand_requests", &base), Ok(base.clone()));
        assert_eq!(machine_of("at_the_root", &base), Ok(base.clone()));
        // Only modules speak: a function's name is its own.
        assert_eq!(machine_of("smmu::on_bare_metal", &base), Ok(base));
    }

    #[test]
    fn a_module_names_its_machine() {
        let base = Machine::default();
        let bare = machine_of("on_bare_edu::dma", &base).expect("known words");
        assert!(bare.bare && bare.devices == [EDU]);
        assert!(machine_of("on_dummy::x", &base).expect("a known word").has_dummy() && !base.has_dummy());
        let cores = machine_of("smmu::on_2p0_icount_rev21::x", &base).expect("known words");
        assert_eq!((cores.host_cores, cores.engine_cores, cores.icount_shift), (2, 0, Some(0)));
        assert_eq!(cores.revision, Revision::V2);
        assert_eq!(machine_of("on_ssid6::x", &base).expect("a known word").ssid_bits, Some(6));
        assert!(machine_of("on_ssid0::x", &base).is_err() && machine_of("on_ssid::x", &base).is_err());
        let asking = machine_of("on_atspri_miss_1p3::x", &base).expect("known words");
        assert_eq!((asking.smmu_profile.as_str(), asking.tlb_policy.as_str(), asking.engine_cores), ("atspri", "miss", 3));
    }

    #[test]
    fn an_unknown_word_is_refused_by_name() {
        let complaint = machine_of("on_mars::x", &Machine::default()).expect_err("no such machine");
        assert!(complaint.sentence.contains("mars"));
        assert!(machine_of("on_0p1::x", &Machine::default()).is_err());
    }
}
