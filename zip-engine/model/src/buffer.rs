//! A source or destination as a run of segments: one flat buffer, or the entries of a chain of hardware scatter lists (D.10).
//!
//! Lists are user memory. Each header and entry is fetched once, when the run reaches it, and checked before use; the number of lists
//! is bounded, so a chain that loops ends.

use hal::{DmaError, DmaPort, Iova};
use zip_spec::{
    BufferType, SGL_ALIGN, SGL_ENTRY_BYTES, SGL_HEADER_BYTES, SGL_MAX_CHAIN, SGL_MAX_ENTRIES, SGL_MAX_ENTRY_BYTES, SglEntry, SglHeader,
};

use crate::port::Port;

/// Why a run cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BufferError {
    /// A read of a list ended badly, or waits.
    List(DmaError),
    /// A list breaks its rules.
    Malformed,
}

/// Where the run stands in a chain of lists.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The list to open when the entries of this one are used up; 0 at the end.
    next_list: Iova,
    /// The entry to fetch next.
    next_entry: Iova,
    /// Entries left in the open list.
    entries_left: u16,
    /// Lists opened so far.
    lists: u16,
    /// Bytes still to skip in front.
    skip: u32,
}

/// A run of segments with a cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    at: Iova,
    left: u32,
    chain: Option<Chain>,
}

impl Buffer {
    /// A run of nothing.
    pub(crate) const EMPTY: Self = Self { at: Iova(0), left: 0, chain: None };

    /// A run that starts at `address`: `len_bytes` bytes of data, or a list of which the first `skip` bytes are passed over.
    ///
    /// `None` if the bytes run past the end of the address space.
    pub(crate) fn new(kind: BufferType, address: Iova, len_bytes: u32, skip: u32) -> Option<Self> {
        if kind == BufferType::SGL {
            let chain = Chain { next_list: address, next_entry: Iova(0), entries_left: 0, lists: 0, skip };
            return Some(Self { at: Iova(0), left: 0, chain: Some(chain) });
        }
        ends_in_address_space(address, len_bytes).then_some(Self { at: address, left: len_bytes, chain: None })
    }

    /// The next byte, and how many follow it without a gap. 0 once the segment is used up: see [`advance_segment`](Self::advance_segment).
    pub(crate) fn segment(&self) -> (Iova, u32) {
        (self.at, self.left)
    }

    /// Moves the cursor by `bytes`, at most the rest of the segment.
    pub(crate) fn advance(&mut self, bytes: u32) {
        self.at = self.at.wrapping_add(u64::from(bytes));
        self.left -= bytes;
    }

    /// Opens the next segment that is not empty; false at the end of the run. After an error the cursor is where it was.
    pub(crate) fn advance_segment<D: DmaPort>(&mut self, port: &mut Port<'_, D>) -> Result<bool, BufferError> {
        while self.left == 0 {
            let Some(chain) = &mut self.chain else { return Ok(false) };
            if chain.entries_left == 0 {
                if chain.next_list == Iova(0) && chain.lists > 0 {
                    return Ok(false);
                }
                let header = read_header(port, chain.next_list, chain.lists)?;
                chain.next_entry = chain.next_list.wrapping_add(SGL_HEADER_BYTES as u64);
                chain.next_list = header.next;
                chain.entries_left = header.entry_sum_in_sgl;
                chain.lists += 1;
                continue;
            }
            let mut bytes = [0; SGL_ENTRY_BYTES];
            let who = port.who.list;
            port.read(who, chain.next_entry, &mut bytes).map_err(BufferError::List)?;
            let entry = SglEntry::from_bytes(&bytes);
            if entry.len_bytes == 0 || entry.len_bytes > SGL_MAX_ENTRY_BYTES || !ends_in_address_space(entry.address, entry.len_bytes) {
                return Err(BufferError::Malformed);
            }
            chain.entries_left -= 1;
            chain.next_entry = chain.next_entry.wrapping_add(SGL_ENTRY_BYTES as u64);
            let skipped = chain.skip.min(entry.len_bytes);
            chain.skip -= skipped;
            self.at = entry.address.wrapping_add(u64::from(skipped));
            self.left = entry.len_bytes - skipped;
        }
        Ok(true)
    }
}

fn read_header<D: DmaPort>(port: &mut Port<'_, D>, at: Iova, lists: u16) -> Result<SglHeader, BufferError> {
    if lists == SGL_MAX_CHAIN || !at.is_aligned(SGL_ALIGN) {
        return Err(BufferError::Malformed);
    }
    let mut bytes = [0; SGL_HEADER_BYTES];
    let who = port.who.list;
    port.read(who, at, &mut bytes).map_err(BufferError::List)?;
    let header = SglHeader::from_bytes(&bytes);
    let last_byte = SGL_HEADER_BYTES as u32 + u32::from(header.entry_sum_in_sgl) * SGL_ENTRY_BYTES as u32;
    let is_sound = header.entry_sum_in_sgl <= SGL_MAX_ENTRIES
        && header.entry_sum_in_sgl <= header.entry_length_in_sgl
        && ends_in_address_space(at, last_byte);
    if is_sound { Ok(header) } else { Err(BufferError::Malformed) }
}

/// True if the last byte's address does not pass 2^64 − 1.
fn ends_in_address_space(at: Iova, len_bytes: u32) -> bool {
    len_bytes == 0 || at.checked_add(u64::from(len_bytes) - 1).is_some()
}
