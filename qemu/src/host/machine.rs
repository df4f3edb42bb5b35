//! QEMU's command line: what machine there is, and how the words are spelled. No other file knows.

use super::complaint::{Complaint, Outcome};
use std::path::{Path, PathBuf};

/// What the user must install when there is no QEMU.
const INSTALL: &str = "install it with `./setup.sh` or `apt-get install --no-install-recommends qemu-system-arm`";

/// Cores that the image has stacks for, host and engine cores together.
const MOST_CORES: u32 = 8;

/// The device word that names no device of QEMU's but our dummy engine.
pub const DUMMY: &str = "dummy";

/// Revision of the modelled accelerator, as in its PCI configuration space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// 0x21: doorbells of all queues in one page.
    V2,
    /// 0x30: a doorbell page per queue.
    V3,
    /// 0x51: shows itself as 0x30 with a sub-version; LZ4 and lz77_only as well.
    V5,
}

impl Revision {
    /// Returns the revision: the PCI register's, or the sub-version that stands for it.
    pub fn id(self) -> u32 {
        match self {
            Self::V2 => 0x21,
            Self::V3 => 0x30,
            Self::V5 => 0x51,
        }
    }
}

/// The machine of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Cores that the EL1 software sees.
    pub host_cores: u32,
    /// Cores at EL2 that run requests.
    pub engine_cores: u32,
    /// `-icount shift=`, or free running.
    pub icount_shift: Option<u32>,
    /// Without EL2: the image starts at EL1 and finds QEMU's own SMMU.
    pub bare: bool,
    /// Revision of the modelled accelerator.
    pub revision: Revision,
    /// `-cpu`.
    pub cpu: String,
    /// `/silicon ssid-bits`; what the models have otherwise.
    pub ssid_bits: Option<u32>,
    /// Words for `-device`; [`DUMMY`] is ours.
    pub devices: Vec<String>,
    /// `/silicon trace-level`.
    pub trace_level: u32,
    /// `/silicon tlb-policy`.
    pub tlb_policy: String,
    /// `/silicon smmu-profile`.
    pub smmu_profile: String,
    /// More words for `/chosen bootargs`, each behind a space.
    pub bootargs: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            host_cores: 1,
            engine_cores: 1,
            icount_shift: None,
            bare: false,
            revision: Revision::V3,
            cpu: "cortex-a72".to_owned(),
            ssid_bits: None,
            devices: Vec::new(),
            trace_level: 0,
            tlb_policy: "sticky".to_owned(),
            smmu_profile: "stall".to_owned(),
            bootargs: String::new(),
        }
    }
}

impl Machine {
    /// Checks that the image can run on this machine.
    ///
    /// # Errors
    /// More cores than it has stacks for; our device on a machine without our silicon.
    pub fn check(&self) -> Outcome<()> {
        if self.bare && self.has_dummy() {
            return Err(Complaint {
                sentence: format!("the device {DUMMY} is of our silicon, which a bare machine does not have"),
                code: 2,
            });
        }
        let cores = self.host_cores + self.engine_cores;
        if cores > MOST_CORES {
            let sentence =
                format!("{} host and {} engine cores are {cores}: the image has room for {MOST_CORES}", self.host_cores, self.engine_cores);
            return Err(Complaint { sentence, code: 2 });
        }
        Ok(())
    }

    /// True if the dummy engine is on the bus.
    pub fn has_dummy(&self) -> bool {
        self.devices.iter().any(|device| device == DUMMY)
    }

    /// Returns the number of CPUs that QEMU simulates. Without EL2 there are no engine cores.
    pub fn cpus(&self) -> u32 {
        self.host_cores + if self.bare { 0 } else { self.engine_cores }
    }

    /// Returns the words that describe the machine itself: what the device tree depends on.
    pub fn line(&self) -> Vec<String> {
        let mut machine = "virt,gic-version=3,iommu=smmuv3,memory-backend=ram".to_owned();
        machine += if self.bare { ",virtualization=off" } else { ",virtualization=on" };
        let mebibytes = firmware_platform::RAM_BYTES >> 20;
        ["-M", &machine, "-cpu", &self.cpu, "-m", &mebibytes.to_string(), "-smp", &self.cpus().to_string(), "-nodefaults", "-nic", "none"]
            .map(str::to_owned)
            .into()
    }

    /// Returns the words that make QEMU write its device tree to `file` and stop.
    pub fn dump_words(&self, file: &Path) -> Outcome<Vec<String>> {
        let mut words = self.line();
        words[1] += &format!(",dumpdtb={}", option_value(file)?);
        words.extend(["-object".to_owned(), format!("memory-backend-ram,id=ram,size={}", firmware_platform::RAM_BYTES)]);
        words.extend(["-display".to_owned(), "none".to_owned()]);
        Ok(words)
    }
}

/// Where the guest's console goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsolePort {
    /// To the socket at this path, where the runner listens.
    Socket(PathBuf),
    /// To QEMU's own standard input and output.
    Stdio,
}

/// A file that QEMU copies into guest memory before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The file, byte for byte.
    pub file: PathBuf,
    /// Guest physical address of its first byte.
    pub address: u64,
}

/// Everything that the command line of one run says.
#[derive(Debug)]
pub struct Line<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The image (ELF).
    pub image: &'a Path,
    /// File that backs guest memory.
    pub ram_file: &'a Path,
    /// Device tree and payloads.
    pub blobs: &'a [Blob],
    /// The console.
    pub console: &'a ConsolePort,
    /// Arguments that the image reads by semihosting; `None` closes semihosting, and with it the host's files.
    pub semihosting: Option<&'a [String]>,
}

impl Line<'_> {
    /// Returns QEMU's arguments.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn words(&self) -> Outcome<Vec<String>> {
        let mut words = self.machine.line();
        let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
        let bytes = firmware_platform::RAM_BYTES;
        add("-object", format!("memory-backend-file,id=ram,size={bytes},share=on,mem-path={}", option_value(self.ram_file)?));
        add("-kernel", utf8(self.image)?.to_owned());
        for blob in self.blobs {
            add("-device", format!("loader,file={},addr={:#x},force-raw=on", option_value(&blob.file)?, blob.address));
        }
        add("-display", "none".to_owned());
        match self.console {
            ConsolePort::Socket(path) => {
                add("-chardev", format!("socket,id=uart0,path={}", option_value(path)?));
                add("-serial", "chardev:uart0".to_owned());
            }
            ConsolePort::Stdio => add("-serial", "stdio".to_owned()),
        }
        if let Some(arguments) = self.semihosting {
            let arguments: String = arguments.iter().map(|word| format!(",arg={}", word.replace(',', ",,"))).collect();
            add("-semihosting-config", format!("enable=on,target=native{arguments}"));
        }
        for device in self.machine.devices.iter().filter(|device| *device != DUMMY) {
            add("-device", device.clone());
        }
        if let Some(shift) = self.machine.icount_shift {
            add("-icount", format!("shift={shift},sleep=off"));
        }
        words.push("-no-reboot".to_owned());
        Ok(words)
    }
}

/// Spells a path as the value of a QEMU option, where a comma is written twice.
fn option_value(path: &Path) -> Outcome<String> {
    Ok(utf8(path)?.replace(',', ",,"))
}

fn utf8(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| Complaint::new(format!("the path {} is not UTF-8, which QEMU's options cannot carry", path.display())))
}

/// Finds QEMU: the program that `SOC_QEMU` names, or `qemu-system-aarch64` on the search path.
///
/// # Errors
/// The sentence that says how to install it.
pub fn find_qemu() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("SOC_QEMU").map(PathBuf::from) {
        return if named.is_file() {
            Ok(named)
        } else {
            Err(Complaint::new(format!("SOC_QEMU names {}, which is not there", named.display())))
        };
    }
    find_program("qemu-system-aarch64").ok_or_else(|| Complaint::new(format!("qemu-system-aarch64 is not on the PATH: {INSTALL}")))
}

/// Finds a program on the search path.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(machine: &Machine, semihosting: Option<&[String]>) -> String {
        let blobs = [Blob { file: "a,b.dtb".into(), address: 0x4a00_0000 }];
        let console = ConsolePort::Socket("s".into());
        let line = Line { machine, image: Path::new("image"), ram_file: Path::new("ram"), blobs: &blobs, console: &console, semihosting };
        line.words().expect("UTF-8 paths").join(" ")
    }

    #[test]
    fn the_line_is_the_one_that_was_tried() {
        let line = words(&Machine::default(), Some(&["run_addr".to_owned(), "77".to_owned()]));
        assert!(line.starts_with(
            "-M virt,gic-version=3,iommu=smmuv3,memory-backend=ram,virtualization=on -cpu cortex-a72 -m 1024 -smp 2 -nodefaults -nic none"
        ));
        assert!(line.contains("-semihosting-config enable=on,target=native,arg=run_addr,arg=77"));
        assert!(line.contains("loader,file=a,,b.dtb,addr=0x4a000000,force-raw=on"));
        assert!(!line.contains("-icount"));
    }

    #[test]
    fn no_semihosting_word_where_host_files_are_closed() {
        assert!(!words(&Machine::default(), None).contains("semihosting"));
    }

    #[test]
    fn our_own_device_is_no_word_of_qemu() {
        let machine = Machine { devices: vec!["edu".to_owned(), DUMMY.to_owned()], ..Machine::default() };
        let line = words(&machine, None);
        assert!(line.contains("-device edu") && !line.contains("dummy"));
    }

    #[test]
    fn bare_machines_have_no_engine_cores() {
        let machine = Machine { bare: true, engine_cores: 3, icount_shift: Some(0), ..Machine::default() };
        let line = words(&machine, None);
        assert!(line.contains("virtualization=off") && line.contains("-smp 1 ") && line.contains("-icount shift=0,sleep=off"));
    }
}
