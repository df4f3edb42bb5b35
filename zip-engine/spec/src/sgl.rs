//! The hardware scatter list (D.10): a 64-byte header, then entries of 32 bytes; lists chain by the header's next address.

use hal::Iova;

/// Alignment of a list in bytes.
pub const SGL_ALIGN: u64 = 64;
/// Length of the header in bytes.
pub const SGL_HEADER_BYTES: usize = 64;
/// Length of an entry in bytes.
pub const SGL_ENTRY_BYTES: usize = 32;
/// Most entries of one list.
pub const SGL_MAX_ENTRIES: u16 = 255;
/// Most lists of one chain.
pub const SGL_MAX_CHAIN: u16 = 256;
/// Longest entry in bytes.
pub const SGL_MAX_ENTRY_BYTES: u32 = 8 << 20;

/// What the engine reads of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SglHeader {
    /// The next list, 0 at the end. Offset 0, 8 bytes.
    pub next: Iova,
    /// Entries of the whole chain. Offset 8, 2 bytes. Software disagrees about it (capacity or count): do not rely on it.
    pub entry_sum_in_chain: u16,
    /// Valid entries of this list. Offset 10, 2 bytes.
    pub entry_sum_in_sgl: u16,
    /// Entries that this list has room for. Offset 12, 2 bytes.
    pub entry_length_in_sgl: u16,
}

impl SglHeader {
    /// The header as it lies in memory. Software words (offsets 48 and 56) are 0.
    pub const fn to_bytes(self) -> [u8; SGL_HEADER_BYTES] {
        let mut bytes = [0; SGL_HEADER_BYTES];
        put(&mut bytes, 0, &self.next.0.to_le_bytes());
        put(&mut bytes, 8, &self.entry_sum_in_chain.to_le_bytes());
        put(&mut bytes, 10, &self.entry_sum_in_sgl.to_le_bytes());
        put(&mut bytes, 12, &self.entry_length_in_sgl.to_le_bytes());
        bytes
    }

    /// Reads a header.
    pub const fn from_bytes(bytes: &[u8; SGL_HEADER_BYTES]) -> Self {
        Self {
            next: Iova(get64(bytes, 0)),
            entry_sum_in_chain: get16(bytes, 8),
            entry_sum_in_sgl: get16(bytes, 10),
            entry_length_in_sgl: get16(bytes, 12),
        }
    }
}

/// What the engine reads of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SglEntry {
    /// First byte. Offset 0, 8 bytes.
    pub address: Iova,
    /// Length in bytes. Offset 16, 4 bytes.
    pub len_bytes: u32,
}

impl SglEntry {
    /// The entry as it lies in memory; software's scratch (offset 8) and the pad (offset 20) are 0.
    pub const fn to_bytes(self) -> [u8; SGL_ENTRY_BYTES] {
        let mut bytes = [0; SGL_ENTRY_BYTES];
        put(&mut bytes, 0, &self.address.0.to_le_bytes());
        put(&mut bytes, 16, &self.len_bytes.to_le_bytes());
        bytes
    }

    /// Reads an entry.
    pub const fn from_bytes(bytes: &[u8; SGL_ENTRY_BYTES]) -> Self {
        Self { address: Iova(get64(bytes, 0)), len_bytes: get32(bytes, 16) }
    }
}

const fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    let mut i = 0;
    while i < value.len() {
        bytes[at + i] = value[i];
        i += 1;
    }
}

const fn get16(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

const fn get32(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

const fn get64(b: &[u8], at: usize) -> u64 {
    get32(b, at) as u64 | (get32(b, at + 4) as u64) << 32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    /// Row 54's source list: header words and first entry (the page pointer is software's and stays 0 here).
    #[test]
    fn row_54_list() {
        let header = SglHeader { next: Iova(0), entry_sum_in_chain: 10, entry_sum_in_sgl: 1, entry_length_in_sgl: 10 };
        let mut words = [0u32; 16];
        words[2] = 0x0001_000a;
        words[3] = 0x0000_000a;
        let bytes: std::vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(header.to_bytes().as_slice(), bytes);
        assert_eq!(SglHeader::from_bytes(&header.to_bytes()), header);

        let entry = SglEntry { address: Iova(0xfef0_4020), len_bytes: 0x46 };
        let mut words = [0u32; 8];
        words[0] = 0xfef0_4020;
        words[4] = 0x46;
        let bytes: std::vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(entry.to_bytes().as_slice(), bytes);
        assert_eq!(SglEntry::from_bytes(&entry.to_bytes()), entry);
    }

    #[test]
    fn software_words_are_not_read() {
        let mut bytes = [0xa5; SGL_HEADER_BYTES];
        bytes[..16].copy_from_slice(&SglHeader::default().to_bytes()[..16]);
        assert_eq!(SglHeader::from_bytes(&bytes), SglHeader::default());
        let mut bytes = [0x5a; SGL_ENTRY_BYTES];
        bytes[..8].fill(0);
        bytes[16..20].fill(0);
        assert_eq!(SglEntry::from_bytes(&bytes), SglEntry::default());
    }

    #[test]
    fn slot_pitch_of_the_kernel_pool() {
        assert_eq!(SGL_HEADER_BYTES + 10 * SGL_ENTRY_BYTES, 0x180);
    }
}
