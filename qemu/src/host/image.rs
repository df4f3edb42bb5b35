//! What the runner reads out of an ELF file: log formats, tests, and names for addresses.

use super::complaint::{Complaint, Outcome};
use addr2line::Loader;
use defmt_decoder::{Locations, Table};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind, SymbolKind};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An image or a test image.
pub struct Image {
    path: PathBuf,
    table: Option<Table>,
    locations: Option<Locations>,
    tests: Vec<TestCase>,
    code: Vec<core::ops::Range<u64>>,
}

/// A variable of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Path of the item.
    pub name: String,
    /// Where it lies.
    pub address: u64,
}

/// One test of a test image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Module path without the crate, and the function's name.
    pub name: String,
    /// Address of the function that runs it and ends the machine.
    pub entry: u64,
    /// Whether it is run only on demand.
    pub ignored: bool,
    /// Whether a panic is what makes it pass.
    pub should_panic: bool,
    /// `#[timeout]`, on an idle host.
    pub timeout: Option<Duration>,
}

/// The symbol name that embedded-test gives to a test.
#[derive(Deserialize)]
struct TestSymbol {
    name: String,
    ignored: bool,
    should_panic: bool,
    timeout: Option<u64>,
}

impl Image {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// The file cannot be read, is no aarch64 ELF, or has log formats or tests of a version that the runner does not know.
    pub fn load(path: &Path) -> Outcome<Self> {
        let wrong = |reason: &dyn std::fmt::Display| Complaint::new(format!("{}: {reason}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
        let file = object::File::parse(&*bytes).map_err(|error| wrong(&error))?;
        if file.architecture() != object::Architecture::Aarch64 {
            return Err(wrong(&"not an aarch64 ELF file: the runner boots the image, not host programs"));
        }
        let table = Table::parse(&bytes).map_err(|error| wrong(&error))?;
        // Locations are a comfort: without debug information the log has none.
        let locations = table.as_ref().and_then(|table| table.get_locations(&bytes).ok());
        let code = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| section.address()..section.address() + section.size())
            .collect();
        let tests = read_tests(&file).map_err(|reason| wrong(&reason))?;
        Ok(Self { path: path.to_owned(), table, locations, tests, code })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the log formats; none in an image that logs nothing.
    pub fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// Returns where in the source a frame was logged: file and line.
    pub fn location(&self, frame_index: u64) -> Option<(&Path, u64)> {
        let location = self.locations.as_ref()?.get(&frame_index)?;
        Some((&location.file, location.line))
    }

    /// Returns the tests; none in an ordinary image.
    pub fn tests(&self) -> &[TestCase] {
        &self.tests
    }

    /// Tells whether an address lies in the image's code.
    pub fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// Finds the variables whose path ends in `name`, by address.
    ///
    /// # Errors
    /// The file cannot be read again, or has no such variable.
    pub fn variables(&self, name: &str) -> Outcome<Vec<Variable>> {
        let wrong = |reason: &dyn std::fmt::Display| Complaint::new(format!("{}: {reason}", self.path.display()));
        let bytes = std::fs::read(&self.path).map_err(|error| wrong(&error))?;
        let file = object::File::parse(&*bytes).map_err(|error| wrong(&error))?;
        let mut found: Vec<Variable> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Data)
            .filter_map(|symbol| {
                let path = addr2line::demangle_auto(symbol.name().ok()?.into(), None).into_owned();
                // The old mangling ends every path in a hash of its own.
                let path = path.split_once("::h").filter(|(_, hash)| hash.len() == 16).map_or(path.as_str(), |(path, _)| path).to_owned();
                (path == name || path.ends_with(&format!("::{name}"))).then_some(Variable { name: path, address: symbol.address() })
            })
            .collect();
        found.sort_by_key(|variable| variable.address);
        if found.is_empty() {
            return Err(wrong(&format_args!("no variable {name}")));
        }
        Ok(found)
    }

    /// Opens the file's debug information; none when it has none.
    pub fn debug_information(&self) -> Option<Loader> {
        Loader::new(&self.path).ok()
    }
}

/// Names the functions at an address, the innermost inlined one first, each with file and line where known.
pub fn name_address(loader: &Loader, address: u64) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
            let place = frame.location.and_then(|place| Some(format!(" ({}:{})", place.file?, place.line?)));
            names.push(format!("{}{}", function.as_deref().unwrap_or("?"), place.unwrap_or_default()));
        }
    }
    if names.is_empty() {
        names.extend(loader.find_symbol(address).map(|name| addr2line::demangle_auto(name.into(), None).into_owned()));
    }
    names
}

/// Lists the tests: embedded-test exports each as a symbol whose name is a JSON object and whose value is (entry, module path).
fn read_tests(file: &object::File<'_>) -> Result<Vec<TestCase>, String> {
    let Some(section) = file.section_by_name(".embedded_test") else { return Ok(Vec::new()) };
    let data = section.data().map_err(|error| error.to_string())?;
    let mut tests = Vec::new();
    for symbol in file.symbols() {
        let Ok(name) = symbol.name() else { continue };
        if symbol.section_index() != Some(section.index()) || !name.starts_with('{') {
            continue;
        }
        let parsed: TestSymbol = serde_json::from_str(name).map_err(|error| format!("test symbol {name}: {error}"))?;
        let offset = symbol.address().wrapping_sub(section.address()) as usize;
        let words = data.get(offset..offset.saturating_add(24)).ok_or_else(|| format!("test symbol {name} lies outside its section"))?;
        let word = |index: usize| words[index * 8..][..8].try_into().map(u64::from_le_bytes).unwrap_or_default();
        let module = string_at(file, word(1), word(2)).ok_or_else(|| format!("test symbol {name} has no module path"))?;
        let module = module.split_once("::").map_or("", |(_crate_name, rest)| rest);
        let name = if module.is_empty() { parsed.name } else { format!("{module}::{}", parsed.name) };
        let timeout = parsed.timeout.map(Duration::from_secs);
        tests.push(TestCase { name, entry: word(0), ignored: parsed.ignored, should_panic: parsed.should_panic, timeout });
    }
    tests.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tests)
}

fn string_at<'a>(file: &object::File<'a>, address: u64, bytes: u64) -> Option<&'a str> {
    file.segments().find_map(|segment| segment.data_range(address, bytes).ok().flatten()).and_then(|bytes| core::str::from_utf8(bytes).ok())
}
