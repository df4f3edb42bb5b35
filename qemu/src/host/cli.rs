//! The command line of `cargo run -- …`.

use super::complaint::{Complaint, Outcome};
use super::machine::{DUMMY, Machine, Revision};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Boots the accelerator SoC image in QEMU. Without a command: probe, self-check and a short tour with figures.
#[derive(Debug, Parser)]
#[command(name = "cargo run --", bin_name = "cargo run --", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
    /// Another built-in text for the tour
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Options {
    /// Host CPUs: the cores that the EL1 software sees
    #[arg(long, global = true, value_name = "N", env = "SOC_SMP", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub smp: u32,
    /// Engine cores at EL2 that run requests; with 0 they run inline in the trap
    #[arg(long, global = true, value_name = "M", env = "SOC_ENGINES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=7))]
    pub engines: u32,
    /// Count guest instructions: virtual time, every run is the same
    #[arg(long, global = true, env = "SOC_ICOUNT", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    pub icount: bool,
    /// End the run after S seconds with exit code 124; 0 means never (default: 300, for linux 600)
    #[arg(long, global = true, value_name = "S")]
    pub timeout: Option<u64>,
    /// Record what the silicon saw and write it to FILE
    #[arg(long, global = true, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Revision of the modelled accelerator: 0x21, 0x30 or 0x51
    #[arg(long, global = true, value_name = "REV", default_value = "0x30", value_parser = parse_revision)]
    pub revision: Revision,
    /// Which SMMU is modelled: `stall`, `stall_s1` and `overrides` stall a device that meets a missing page, with `atspri` the device asks for it; with the
    /// smaller ones programs share no addresses with the device
    #[arg(long, global = true, value_name = "PROFILE", default_value = "stall", value_parser = PROFILES)]
    pub smmu: String,
    /// The core that QEMU simulates
    #[arg(long, global = true, value_name = "CPU", env = "SOC_CPU", default_value = "cortex-a72", value_parser = ["cortex-a72", "neoverse-n1", "max"])]
    pub cpu: String,
    /// Bits of a PASID, in the SMMU and in the accelerator; fewer than the usual 16 run out sooner
    #[arg(long, global = true, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub ssid_bits: Option<u32>,
    /// Boot straight at EL1, without our silicon: QEMU's own SMMU and PCIe
    #[arg(long, global = true)]
    pub bare: bool,
    /// Add a device to the machine (QEMU's -device syntax; `dummy` is ours, a second accelerator that copies memory); may be given more than once
    #[arg(long, global = true, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Print debug and trace log lines too
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// SMMUs that the silicon can model, as `/silicon smmu-profile` names them.
const PROFILES: [&str; 6] = ["stall", "stall_s1", "atspri", "overrides", "min", "qemu72"];

/// What to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compress or decompress a file by the modelled engine, through an EL0 queue
    Zip(Zip),
    /// Boot Linux on the modelled silicon
    Linux(Linux),
    /// Show what the kernel's monitor sees of the accelerator: registers, contexts, counters
    Dump,
    /// Play a process with queues that is copied, and the two tables of what device, parent and copy see afterwards
    Forker,
    /// Attack kernel, device and others from a process, and show that everything is refused
    Abuse,
    /// Send packets through two engines and the CPU by pointer (adds the dummy engine, which plays the network card)
    Pingpong,
}

/// The sample program.
#[derive(Debug, Args)]
pub struct Zip {
    /// Format of the compressed side.
    #[command(flatten)]
    pub format: FormatFlags,
    /// Decompress
    #[arg(short)]
    pub decompress: bool,
    /// Input file (default: standard input)
    #[arg(short = 'i', value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Output file (default: standard output); complete or not there at all
    #[arg(short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Exactly one of the three formats.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct FormatFlags {
    /// zlib format (RFC 1950)
    #[arg(short = 'z')]
    zlib: bool,
    /// gzip format (RFC 1952)
    #[arg(short = 'g')]
    gzip: bool,
    /// Raw deflate (RFC 1951)
    #[arg(short = 'r')]
    raw: bool,
}

impl FormatFlags {
    /// Returns the letter by which the kernel command line names the format.
    pub fn letter(&self) -> char {
        match (self.zlib, self.gzip) {
            (true, _) => 'z',
            (_, true) => 'g',
            _ => 'r',
        }
    }
}

/// A Linux guest.
#[derive(Debug, Args)]
pub struct Linux {
    /// The arm64 kernel (`Image`, uncompressed)
    #[arg(long, value_name = "IMAGE")]
    pub kernel: PathBuf,
    /// The initial RAM file system (cpio, may be compressed)
    #[arg(long, value_name = "CPIO")]
    pub initrd: PathBuf,
    /// Words to add to the kernel's command line
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub append: Option<String>,
    /// Print the 32-bit words that lie at the image's variables of this name when the run has ended
    #[arg(long, value_name = "VARIABLE")]
    pub peek: Option<String>,
    /// How much to record with --trace
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = TraceLevel::Access)]
    pub trace_level: TraceLevel,
}

/// How much the silicon records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceLevel {
    /// Log lines only
    Log,
    /// Every trapped access and SMMU command as well
    Access,
}

impl Options {
    /// Returns the machine that the options describe.
    pub fn machine(&self) -> Machine {
        Machine {
            host_cores: self.smp,
            engine_cores: self.engines,
            icount_shift: self.icount.then_some(0),
            bare: self.bare,
            revision: self.revision,
            cpu: self.cpu.clone(),
            ssid_bits: self.ssid_bits,
            devices: self.device.clone(),
            trace_level: u32::from(self.trace.is_some()),
            smmu_profile: self.smmu.clone(),
            ..Machine::default()
        }
    }

    /// Returns the time limit; `default_seconds` where the user gave none, `None` for no limit.
    pub fn limit(&self, default_seconds: u64) -> Option<Duration> {
        match self.timeout.unwrap_or(default_seconds) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds)),
        }
    }
}

fn parse_revision(text: &str) -> Result<Revision, String> {
    match text.to_ascii_lowercase().as_str() {
        "0x21" => Ok(Revision::V2),
        "0x30" => Ok(Revision::V3),
        "0x51" => Ok(Revision::V5),
        _ => Err("the revisions are 0x21, 0x30 and 0x51".to_owned()),
    }
}

/// Parses the words after the ELF file's name. Help and version end the program here with exit code 0.
///
/// # Errors
/// A complaint with exit code 2 for words that are not understood.
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Outcome<Cli> {
    let command = Cli::command().no_binary_name(true);
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            // The first paragraph says what is wrong, the others what `--help` says too.
            let text = error.render().to_string();
            let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let words: Vec<&str> = first.split_whitespace().collect();
            return Err(Complaint { sentence: format!("{} (--help lists what there is)", words.join(" ")), code: 2 });
        }
    };
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| Complaint { sentence: error.to_string(), code: 2 })?;
    if matches!(cli.command, Some(Command::Pingpong)) {
        cli.options.device.push(DUMMY.to_owned());
    }
    cli.options.machine().check()?;
    if cli.command.is_some() && cli.seed.is_some() {
        return Err(Complaint { sentence: "--seed is for the tour, which is run without a command".to_owned(), code: 2 });
    }
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Outcome<Cli> {
        parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_command() {
        let cli = words("zip -g -d -i in --engines 0 --timeout 7").expect("a valid line");
        assert_eq!(cli.options.engines, 0);
        assert_eq!(cli.options.limit(300), Some(Duration::from_secs(7)));
        let Some(Command::Zip(zip)) = cli.command else { panic!("not zip") };
        assert_eq!(zip.format.letter(), 'g');
        assert!(zip.decompress && zip.output.is_none());
    }

    #[test]
    fn the_dump_takes_no_words_of_its_own() {
        assert!(matches!(words("dump --revision 0x21").expect("a valid line").command, Some(Command::Dump)));
        assert_eq!(words("dump all").expect_err("a word").code, 2);
    }

    #[test]
    fn pingpong_brings_its_second_engine() {
        let cli = words("pingpong --smp 2").expect("a valid line");
        assert!(matches!(cli.command, Some(Command::Pingpong)) && cli.options.machine().has_dummy());
        assert!(!words("forker").expect("a valid line").options.machine().has_dummy());
        assert_eq!(words("pingpong --bare").expect_err("no second engine").code, 2);
    }

    #[test]
    fn zip_wants_exactly_one_format() {
        assert_eq!(words("zip -i in").expect_err("no format").code, 2);
        assert_eq!(words("zip -z -g").expect_err("two formats").code, 2);
    }

    #[test]
    fn more_cores_than_the_image_has_stacks_for_are_refused() {
        assert!(words("--smp 4 --engines 4").is_ok());
        assert_eq!(words("--smp 4 --engines 5").expect_err("nine cores").code, 2);
    }

    #[test]
    fn the_smmu_is_chosen_by_name() {
        assert_eq!(words("").expect("a valid line").options.machine().smmu_profile, "stall");
        assert_eq!(words("zip -g --smmu atspri").expect("a valid line").options.machine().smmu_profile, "atspri");
        assert_eq!(words("--smmu mmu500").expect_err("no such SMMU").code, 2);
    }

    #[test]
    fn a_seed_belongs_to_the_tour() {
        assert_eq!(words("--seed 7 --icount").expect("a valid line").seed, Some(7));
        assert_eq!(words("--seed 7 zip -g").expect_err("no tour").code, 2);
        assert_eq!(words("--seed x").expect_err("no number").code, 2);
    }

    #[test]
    fn an_unknown_command_or_revision_is_refused() {
        let complaint = words("dance").expect_err("no such command");
        assert_eq!(complaint.code, 2);
        assert!(complaint.sentence.contains("'dance'") && !complaint.sentence.contains('\n'), "{complaint}");
        assert_eq!(words("--revision 0x22").expect_err("no such revision").code, 2);
    }
}
