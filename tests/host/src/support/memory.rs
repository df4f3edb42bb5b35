//! Sparse physical memory with holes, as devices see it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hal::{BusError, Pa, PhysMemory};

const PAGE: u64 = 4096;
type Page = Box<[u8; PAGE as usize]>;

#[derive(Default)]
struct State {
    /// What decodes: base → length.
    ram: BTreeMap<u64, u64>,
    pages: BTreeMap<u64, Page>,
    /// What only the CPU reaches: base → length.
    hidden: BTreeMap<u64, u64>,
    /// Ranges that the CPU has zeroed, but not published: base → length.
    unpublished: BTreeMap<u64, u64>,
    /// Their words that were stored to.
    stored: BTreeSet<u64>,
    /// Pages that a device wrote since the CPU's epoch began, as they were then.
    before: BTreeMap<u64, Page>,
    /// Device writes of 4 bytes to this range are recorded instead of stored: message-signalled interrupts.
    msi_frame: Option<(u64, u64)>,
    msis: Vec<(u64, u32)>,
    device_reads: u64,
    device_writes: u64,
}

/// Physical memory shared by CPU side and device side; a clone is another handle of the same memory.
#[derive(Clone, Default)]
pub struct HostMemory {
    state: Rc<RefCell<State>>,
}

impl State {
    fn decodes(&self, at: u64, len: usize) -> bool {
        let Some(end) = at.checked_add(len as u64) else { return false };
        let mut from = at;
        while from < end {
            match self.ram.range(..=from).next_back() {
                Some((base, bytes)) if from < base + bytes => from = base + bytes,
                _ => return false,
            }
        }
        true
    }

    fn device_reaches(&self, at: u64, len: usize) -> bool {
        self.decodes(at, len) && !self.hidden.iter().any(|(base, bytes)| at < base + bytes && *base < at + len as u64)
    }

    fn read_pages(pages: &BTreeMap<u64, Page>, at: u64, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let here = at + done as u64;
            let offset = (here % PAGE) as usize;
            let n = (PAGE as usize - offset).min(out.len() - done);
            match pages.get(&(here / PAGE)) {
                Some(page) => out[done..done + n].copy_from_slice(&page[offset..offset + n]),
                None => out[done..done + n].fill(0),
            }
            done += n;
        }
    }

    fn write_pages(pages: &mut BTreeMap<u64, Page>, at: u64, data: &[u8], only_present: bool) {
        let mut done = 0;
        while done < data.len() {
            let here = at + done as u64;
            let offset = (here % PAGE) as usize;
            let n = (PAGE as usize - offset).min(data.len() - done);
            let page = if only_present {
                pages.get_mut(&(here / PAGE))
            } else {
                Some(pages.entry(here / PAGE).or_insert_with(|| Box::new([0; PAGE as usize])))
            };
            if let Some(page) = page {
                page[offset..offset + n].copy_from_slice(&data[done..done + n]);
            }
            done += n;
        }
    }

    fn is_stale(&self, at: u64) -> bool {
        let range = self.unpublished.range(..=at).next_back();
        range.is_some_and(|(base, bytes)| at < base + bytes) && !self.stored.contains(&(at / 8))
    }

    fn note_stored(&mut self, at: u64, len: usize) {
        if !self.unpublished.is_empty() {
            self.stored.extend(at / 8..(at + len as u64).div_ceil(8));
        }
    }

    fn keep_copy(&mut self, at: u64, len: usize) {
        for number in at / PAGE..=(at + len.max(1) as u64 - 1) / PAGE {
            if !self.before.contains_key(&number) {
                let copy = self.pages.get(&number).cloned().unwrap_or_else(|| Box::new([0; PAGE as usize]));
                self.before.insert(number, copy);
            }
        }
    }
}

impl HostMemory {
    /// Makes memory of which nothing decodes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes memory with RAM at each `(base, len_bytes)`.
    pub fn with_ram(ranges: &[(u64, u64)]) -> Self {
        let memory = Self::new();
        for (base, len) in ranges {
            memory.add_ram(Pa(*base), *len);
        }
        memory
    }

    /// Lets `[base, base + len_bytes)` decode, zeroed.
    pub fn add_ram(&self, base: Pa, len_bytes: u64) {
        self.state.borrow_mut().ram.insert(base.0, len_bytes);
    }

    /// Lets `[base, base + len_bytes)` decode, zeroed by the CPU: until [`publish`](Self::publish) the device finds ones, as whoever had the memory
    /// before left them, in every word that nobody has stored to.
    pub(super) fn add_zeroed_ram(&self, base: Pa, len_bytes: u64) {
        self.add_ram(base, len_bytes);
        self.state.borrow_mut().unpublished.insert(base.0, len_bytes);
    }

    /// The CPU's zeroes have reached memory.
    pub(super) fn publish(&self) {
        let mut state = self.state.borrow_mut();
        state.unpublished.clear();
        state.stored.clear();
    }

    /// Turns a range that [`add_ram`](Self::add_ram) made into a hole and forgets its bytes.
    pub fn remove_ram(&self, base: Pa) {
        let mut state = self.state.borrow_mut();
        let len = state.ram.remove(&base.0).expect("a range that add_ram made");
        state.unpublished.remove(&base.0);
        let zeros = vec![0; len as usize];
        State::write_pages(&mut state.pages, base.0, &zeros, true);
        State::write_pages(&mut state.before, base.0, &zeros, true);
    }

    /// Makes device accesses to `[base, base + len_bytes)` fail while the CPU still reaches it, or lets them succeed again.
    pub fn hide_from_devices(&self, base: Pa, len_bytes: u64, hidden: bool) {
        let mut state = self.state.borrow_mut();
        if hidden {
            state.hidden.insert(base.0, len_bytes);
        } else {
            state.hidden.remove(&base.0);
        }
    }

    /// Makes `[base, base + len_bytes)` a frame whose 4-byte device writes are recorded as message-signalled interrupts.
    pub fn set_msi_frame(&self, base: Pa, len_bytes: u64) {
        self.state.borrow_mut().msi_frame = Some((base.0, len_bytes));
    }

    /// Takes the recorded message-signalled interrupts: `(address, data)` in order.
    pub fn take_msis(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.state.borrow_mut().msis)
    }

    /// Device reads and writes so far.
    pub fn device_accesses(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.device_reads, state.device_writes)
    }

    /// Reads what the device sees, past the CPU's buffers (a test looking in from outside).
    ///
    /// # Panics
    /// If the range does not decode.
    pub fn peek(&self, at: Pa, out: &mut [u8]) {
        let state = self.state.borrow();
        assert!(state.decodes(at.0, out.len()), "peek of a hole at {at}");
        State::read_pages(&state.pages, at.0, out);
    }

    /// Reads a word as [`peek`](Self::peek) does.
    pub fn peek64(&self, at: Pa) -> u64 {
        let mut bytes = [0; 8];
        self.peek(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Writes behind everyone's back: CPU and device see it at once (test data, page tables of a "CPU" that has done its barriers).
    ///
    /// # Panics
    /// If the range does not decode.
    pub fn poke(&self, at: Pa, data: &[u8]) {
        let mut state = self.state.borrow_mut();
        assert!(state.decodes(at.0, data.len()), "poke of a hole at {at}");
        state.note_stored(at.0, data.len());
        State::write_pages(&mut state.pages, at.0, data, false);
        State::write_pages(&mut state.before, at.0, data, true);
    }

    /// Writes a word as [`poke`](Self::poke) does.
    pub fn poke64(&self, at: Pa, value: u64) {
        self.poke(at, &value.to_le_bytes());
    }

    /// The CPU's view of memory begins anew here.
    pub(super) fn begin_epoch(&self) {
        self.state.borrow_mut().before.clear();
    }

    /// Reads `out` as it is now, `old` as it was when the epoch began.
    pub(super) fn read_both(&self, at: u64, out: &mut [u8], old: &mut [u8]) {
        let state = self.state.borrow();
        assert!(state.decodes(at, out.len()), "the CPU loads from a hole at {at:#x}");
        State::read_pages(&state.pages, at, out);
        old.copy_from_slice(out);
        let mut done = 0;
        while done < out.len() {
            let here = at + done as u64;
            let offset = (here % PAGE) as usize;
            let n = (PAGE as usize - offset).min(out.len() - done);
            if let Some(page) = state.before.get(&(here / PAGE)) {
                old[done..done + n].copy_from_slice(&page[offset..offset + n]);
            }
            done += n;
        }
    }

    fn device_write(&self, at: Pa, data: &[u8]) -> Result<(), BusError> {
        let mut state = self.state.borrow_mut();
        if let (Some((base, len)), 4) = (state.msi_frame, data.len())
            && at.0 >= base
            && at.0 - base < len
        {
            let word = u32::from_le_bytes([data[0], data[1], data[2], data[3]]);
            state.msis.push((at.0, word));
            return Ok(());
        }
        if !state.device_reaches(at.0, data.len()) {
            return Err(BusError);
        }
        state.device_writes += 1;
        state.note_stored(at.0, data.len());
        state.keep_copy(at.0, data.len());
        State::write_pages(&mut state.pages, at.0, data, false);
        Ok(())
    }
}

impl PhysMemory for HostMemory {
    fn read(&mut self, at: Pa, out: &mut [u8]) -> Result<(), BusError> {
        let mut state = self.state.borrow_mut();
        if !state.device_reaches(at.0, out.len()) {
            return Err(BusError);
        }
        state.device_reads += 1;
        State::read_pages(&state.pages, at.0, out);
        if !state.unpublished.is_empty() {
            (at.0..).zip(out).filter(|(at, _)| state.is_stale(*at)).for_each(|(_, byte)| *byte = 0xff);
        }
        Ok(())
    }

    fn write(&mut self, at: Pa, data: &[u8]) -> Result<(), BusError> {
        self.device_write(at, data)
    }

    fn read64(&mut self, at: Pa) -> Result<u64, BusError> {
        assert!(at.is_aligned(8), "unaligned 64-bit read at {at}");
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write64(&mut self, at: Pa, value: u64) -> Result<(), BusError> {
        assert!(at.is_aligned(8), "unaligned 64-bit write at {at}");
        self.device_write(at, &value.to_le_bytes())
    }

    fn compare_exchange64(&mut self, at: Pa, current: u64, new: u64) -> Result<u64, BusError> {
        let seen = self.read64(at)?;
        if seen == current {
            self.write64(at, new)?;
        }
        Ok(seen)
    }
}
