//! A walker without caches, as one writes it first: each structure is read whole, its rules are looked at one after the other, field by field,
//! then the tables are walked. It gives what the model gives: address, attributes and shareability, or the number of the event.
//!
//! Stage 1 of an SMMU that has nothing else; hardware updates of descriptors end as faults. Memory is reached through the same port as the model's.

use hal::{AccessKind, BusError, Pa, PhysMemory};
use smmu_model::{Transaction, Translated};

/// What the walker knows of the SMMU: registers as software reads and writes them.
pub struct Naive {
    pub idr0: u32,
    pub idr1: u32,
    pub idr3: u32,
    pub idr5: u32,
    pub cr0: u32,
    pub strtab_base: u64,
    pub strtab_base_cfg: u32,
}

/// Event numbers.
const F_STE_FETCH: u8 = 0x03;
const C_BAD_STREAMID: u8 = 0x02;
const C_BAD_STE: u8 = 0x04;
const F_STREAM_DISABLED: u8 = 0x06;
const C_BAD_SUBSTREAMID: u8 = 0x08;
const F_CD_FETCH: u8 = 0x09;
const C_BAD_CD: u8 = 0x0a;
const F_WALK_EABT: u8 = 0x0b;
const F_TRANSLATION: u8 = 0x10;
const F_ADDR_SIZE: u8 = 0x11;
const F_ACCESS: u8 = 0x12;
const F_PERMISSION: u8 = 0x13;
/// Ends without an event.
const NONE: u8 = 0;

/// Reads what a walk reads, each address taken from the word read before, and looks at no rule: what memory itself takes.
pub fn reads_only(strtab_base: u64, tx: &Transaction, mem: &mut dyn PhysMemory) -> Result<u64, BusError> {
    let ssid = u64::from(tx.who.substream.map_or(0, |ssid| ssid.0));
    let ste = structure(mem, strtab_base + 64 * u64::from(tx.who.stream.0))?;
    let leaf = word(mem, (ste[0] & 0x00ff_ffff_ffff_ffc0) + 8 * (ssid >> 10))?;
    let cd = structure(mem, (leaf & 0x00ff_ffff_ffff_f000) + 64 * (ssid & 0x3ff))?;
    let mut table = cd[1];
    for shift in [39, 30, 21, 12] {
        table = word(mem, table + 8 * (tx.iova.0 >> shift & 0x1ff))? & 0x0000_ffff_ffff_f000;
    }
    Ok(table | tx.iova.0 & 0xfff)
}

fn structure(mem: &mut dyn PhysMemory, at: u64) -> Result<[u64; 8], BusError> {
    let mut bytes = [0; 64];
    mem.read(Pa(at), &mut bytes)?;
    let mut words = [0; 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(chunk.try_into().map_err(|_| BusError)?);
    }
    Ok(words)
}

fn word(mem: &mut dyn PhysMemory, at: u64) -> Result<u64, BusError> {
    let mut bytes = [0; 8];
    mem.read(Pa(at), &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

const fn bit(word: u64, at: u32) -> bool {
    word >> at & 1 == 1
}

const fn bits(word: u64, high: u32, low: u32) -> u64 {
    word >> low & ((1 << (high - low + 1)) - 1)
}

const SIZES: [u32; 8] = [32, 36, 40, 42, 44, 48, 52, 56];

struct Context {
    cd: [u64; 8],
    output_bits: u32,
}

impl Naive {
    fn has0(&self, at: u32) -> bool {
        self.idr0 >> at & 1 == 1
    }

    fn has3(&self, at: u32) -> bool {
        self.idr3 >> at & 1 == 1
    }

    fn output_size(&self) -> u32 {
        SIZES[(self.idr5 & 7) as usize]
    }

    fn beyond(&self, address: u64) -> bool {
        address >> self.output_size() != 0
    }

    fn ste(&self, stream: u64, mem: &mut dyn PhysMemory) -> Result<[u64; 8], u8> {
        let (log2, format) = ((self.strtab_base_cfg & 0x3f).min(self.idr1 & 0x3f), self.strtab_base_cfg >> 16 & 3);
        if stream >> log2 != 0 {
            return Err(C_BAD_STREAMID);
        }
        let base = self.strtab_base & 0x000f_ffff_ffff_ffc0;
        let at = if format == 1 {
            let split = match self.strtab_base_cfg >> 6 & 0x1f {
                8 => 8,
                10 => 10,
                _ => 6,
            };
            let l1 = word(mem, base + (stream >> split) * 8).map_err(|_| F_STE_FETCH)?;
            let span = l1 & 0x1f;
            if span == 0 || span > 11 || span > split + 1 || stream & ((1 << split) - 1) >= 1 << (span - 1) {
                return Err(C_BAD_STREAMID);
            }
            (l1 & 0x000f_ffff_ffff_ffc0 & !((64 << (span - 1)) - 1)) + (stream & ((1 << split) - 1)) * 64
        } else {
            (base & !((64 << log2) - 1)) + stream * 64
        };
        if self.beyond(at) {
            return Err(F_STE_FETCH);
        }
        let ste = structure(mem, at).map_err(|_| F_STE_FETCH)?;
        if !bit(ste[0], 0) {
            return Err(C_BAD_STE);
        }
        let config = bits(ste[0], 3, 1);
        if config < 4 {
            return Err(NONE);
        }
        if config == 4 {
            return Ok(ste);
        }
        if config & 2 != 0 || !self.has0(1) {
            return Err(C_BAD_STE);
        }
        let (ssid_bits, cd_max, s1_format) = (u64::from(self.idr1 >> 6 & 0x1f), bits(ste[0], 63, 59), bits(ste[0], 5, 4));
        if ssid_bits != 0 && cd_max > ssid_bits {
            return Err(C_BAD_STE);
        }
        if ssid_bits != 0 && cd_max != 0 && (s1_format == 1 || s1_format == 2) && !self.has0(19) {
            return Err(C_BAD_STE);
        }
        if self.beyond(ste[0] & 0x00ff_ffff_ffff_ffc0) {
            return Err(C_BAD_STE);
        }
        if self.has0(9) && bit(ste[1], 30) {
            return Err(C_BAD_STE);
        }
        if bit(ste[1], 27) && self.idr0 >> 24 & 3 != 0 {
            return Err(C_BAD_STE);
        }
        if self.has0(0) && !self.has0(18) && bits(ste[2], 15, 8) != 0 {
            return Err(C_BAD_STE);
        }
        if self.has0(10) && bits(ste[1], 29, 28) == 2 {
            return Err(C_BAD_STE);
        }
        Ok(ste)
    }

    /// The index of the CD.
    fn substream(&self, ste: &[u64; 8], tx: &Transaction) -> Result<Option<u64>, u8> {
        let (config, cd_max, s1dss) = (bits(ste[0], 3, 1), bits(ste[0], 63, 59), bits(ste[1], 1, 0));
        let cd_max = if self.idr1 >> 6 & 0x1f == 0 { 0 } else { cd_max };
        match tx.who.substream {
            Some(ssid) => {
                let ssid = u64::from(ssid.0);
                if config == 4 || cd_max == 0 || ssid >> cd_max != 0 {
                    return Err(C_BAD_SUBSTREAMID);
                }
                if s1dss == 2 && ssid == 0 {
                    return Err(F_STREAM_DISABLED);
                }
                Ok(Some(ssid))
            }
            None if config == 4 => Ok(None),
            None if cd_max == 0 => Ok(Some(0)),
            None => match s1dss {
                1 => Ok(None),
                2 => Ok(Some(0)),
                _ => Err(F_STREAM_DISABLED),
            },
        }
    }

    fn cd(&self, ste: &[u64; 8], index: u64, mem: &mut dyn PhysMemory) -> Result<Context, u8> {
        let table = ste[0] & 0x00ff_ffff_ffff_ffc0;
        let (cd_max, format) = (bits(ste[0], 63, 59), bits(ste[0], 5, 4));
        let at = if cd_max != 0 && (format == 1 || format == 2) {
            let split = if format == 1 { 6 } else { 10 };
            let bytes = (8_u64 << cd_max.saturating_sub(split)).max(64);
            let l1 = (table & !(bytes - 1)) + (index >> split) * 8;
            if self.beyond(l1) {
                return Err(F_CD_FETCH);
            }
            let l1 = word(mem, l1).map_err(|_| F_CD_FETCH)?;
            let leaf = l1 & 0x00ff_ffff_ffff_f000;
            if !bit(l1, 0) || self.beyond(leaf) {
                return Err(C_BAD_SUBSTREAMID);
            }
            (leaf & !((64 << split) - 1)) + (index & ((1 << split) - 1)) * 64
        } else {
            (table & !((64 << cd_max) - 1)) + index * 64
        };
        if self.beyond(at) {
            return Err(F_CD_FETCH);
        }
        let cd = structure(mem, at).map_err(|_| F_CD_FETCH)?;
        if !bit(cd[0], 31) || !bit(cd[0], 41) {
            return Err(C_BAD_CD);
        }
        let (stall, stall_model) = (bit(cd[0], 44), self.idr0 >> 24 & 3);
        if stall && (stall_model == 1 || bit(ste[1], 27)) || !stall && stall_model == 2 {
            return Err(C_BAD_CD);
        }
        if !bit(cd[0], 46) && self.has0(26) {
            return Err(C_BAD_CD);
        }
        let httu = self.idr0 >> 6 & 3;
        if bit(cd[0], 43) && httu < 1 || bit(cd[0], 42) && httu < 2 || httu == 3 && bit(cd[1], 3) && !bit(cd[0], 43) {
            return Err(C_BAD_CD);
        }
        if bits(cd[0], 63, 56) != 0 && !self.has0(12) {
            return Err(C_BAD_CD);
        }
        let (endian, disabled) = (self.idr0 >> 21 & 3, [bit(cd[0], 14), bit(cd[0], 30)]);
        if !(disabled[0] && disabled[1]) && (endian == 2 && bit(cd[0], 15) || endian == 3 && !bit(cd[0], 15)) {
            return Err(C_BAD_CD);
        }
        let output_bits = SIZES[bits(cd[0], 34, 32) as usize].min(self.output_size());
        for half in 0..2 {
            if disabled[half] {
                continue;
            }
            let (size, granule) = if half == 0 {
                (bits(cd[0], 5, 0), [12, 16, 14, 0][bits(cd[0], 7, 6) as usize])
            } else {
                (bits(cd[0], 21, 16), [0, 14, 12, 16][bits(cd[0], 23, 22) as usize])
            };
            let present = match granule {
                12 => self.idr5 >> 4 & 1 == 1,
                14 => self.idr5 >> 5 & 1 == 1,
                16 => self.idr5 >> 6 & 1 == 1,
                _ => false,
            };
            let least = if granule == 16 && self.idr5 >> 10 & 3 == 1 { 12 } else { 16 };
            let most = if !self.has3(9) {
                39
            } else if granule == 16 {
                47
            } else {
                48
            };
            let limit = if granule == 16 { output_bits } else { output_bits.min(48) };
            if !present || size < least || size > most || (cd[1 + half] & 0x000f_ffff_ffff_fff0) >> limit != 0 {
                return Err(C_BAD_CD);
            }
        }
        Ok(Context { cd, output_bits })
    }

    fn walk(&self, context: &Context, tx: &Transaction, mem: &mut dyn PhysMemory) -> Result<Translated, u8> {
        let Context { cd, output_bits } = context;
        let upper = usize::from(bit(tx.iova.0, 55));
        let top_byte_ignored = bit(cd[0], [38, 39][upper]);
        let address = if top_byte_ignored { ((tx.iova.0 << 8) as i64 >> 8) as u64 } else { tx.iova.0 };
        if bit(cd[0], [14, 30][upper]) {
            return Err(F_TRANSLATION);
        }
        let (size, page_bits) = if upper == 0 {
            (bits(cd[0], 5, 0), [12, 16, 14, 0][bits(cd[0], 7, 6) as usize])
        } else {
            (bits(cd[0], 21, 16), [0, 14, 12, 16][bits(cd[0], 23, 22) as usize])
        };
        let input_bits = 64 - size as u32;
        let distance = if upper == 1 { !address } else { address };
        if distance >> input_bits != 0 {
            return Err(F_TRANSLATION);
        }
        if self.has3(13) && bit(cd[1 + upper], 2) && !tx.who.privileged {
            return Err(F_TRANSLATION);
        }
        let stride = page_bits - 3;
        let mut level = 4 - (input_bits - page_bits).div_ceil(stride);
        let mut shift = page_bits + (3 - level) * stride;
        let table_bytes = (8_u64 << (input_bits - shift)).max(64);
        let mut table = cd[1 + upper] & 0x000f_ffff_ffff_fff0 & !(table_bytes - 1);
        let mut index = (address & ((1 << input_bits) - 1)) >> shift;
        let (mut ap_table, mut uxn, mut pxn) = (0, false, false);
        let (descriptor, output) = loop {
            let descriptor = word(mem, table + index * 8).map_err(|_| F_WALK_EABT)?;
            if !bit(descriptor, 0) {
                return Err(F_TRANSLATION);
            }
            let is_table = level < 3 && bit(descriptor, 1);
            let low = if is_table { page_bits } else { shift };
            let mut next = descriptor & 0x0000_ffff_ffff_f000 & !((1 << low) - 1);
            if page_bits == 16 {
                next |= bits(descriptor, 15, 12) << 48;
            }
            if is_table {
                if next >> output_bits != 0 {
                    return Err(F_ADDR_SIZE);
                }
                if !(self.has3(2) && bit(cd[1 + upper], 1)) {
                    ap_table |= bits(descriptor, 62, 61);
                    uxn |= bit(descriptor, 60);
                    pxn |= bit(descriptor, 59);
                }
                table = next;
                level += 1;
                shift -= stride;
                index = address >> shift & ((1 << stride) - 1);
                continue;
            }
            let has_block = level == 2 || level == 1 && page_bits == 12;
            if level == 3 && !bit(descriptor, 1) || level < 3 && !has_block {
                return Err(F_TRANSLATION);
            }
            if next >> output_bits != 0 {
                return Err(F_ADDR_SIZE);
            }
            break (descriptor, next | address & ((1 << shift) - 1));
        };
        if !bit(descriptor, 10) && !bit(cd[0], 35) {
            return Err(F_ACCESS);
        }
        let (wxn, pan, epan) = (bit(cd[0], 36), bit(cd[0], 40), self.has3(17) && bit(cd[1], 59));
        let unprivileged = bit(descriptor, 6) && ap_table & 1 == 0;
        let writable = !bit(descriptor, 7) && ap_table & 2 == 0;
        let (uxn, pxn) = (uxn || bit(descriptor, 54), pxn || bit(descriptor, 53));
        let unprivileged_executable = !(uxn || wxn && unprivileged && writable);
        let kept_off = pan && (unprivileged || epan && unprivileged_executable);
        let allowed = match (tx.who.privileged, tx.kind) {
            (false, AccessKind::Read) => unprivileged,
            (false, AccessKind::Write) => unprivileged && writable,
            (false, AccessKind::Execute) => unprivileged_executable,
            (true, AccessKind::Read) => !kept_off,
            (true, AccessKind::Write) => writable && !kept_off,
            (true, AccessKind::Execute) => !(pxn || writable && (unprivileged || wxn)),
        };
        if !allowed {
            return Err(F_PERMISSION);
        }
        let attributes = (cd[3] >> (8 * bits(descriptor, 4, 2))) as u8;
        Ok(Translated { pa: Pa(output), attributes, shareability: bits(descriptor, 9, 8) as u8 })
    }

    /// Translates one access.
    pub fn translate(&self, tx: &Transaction, mem: &mut dyn PhysMemory) -> Result<Translated, u8> {
        if self.cr0 & 1 == 0 {
            return Err(NONE);
        }
        let ste = self.ste(u64::from(tx.who.stream.0), mem)?;
        let Some(index) = self.substream(&ste, tx)? else {
            let beyond = self.beyond(tx.iova.0);
            return if beyond { Err(F_ADDR_SIZE) } else { Ok(Translated { pa: Pa(tx.iova.0), attributes: 0xff, shareability: 3 }) };
        };
        let context = self.cd(&ste, index, mem)?;
        self.walk(&context, tx, mem)
    }
}
