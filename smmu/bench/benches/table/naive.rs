//! A walker without caches, as one writes it first: read each structure whole, pick the fields, go on.

use hal::{BusError, Pa, PhysMemory};
use smmu_model::Transaction;

use crate::machine::STRTAB;

fn words(mem: &mut dyn PhysMemory, at: u64) -> Result<[u64; 8], BusError> {
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

/// Translates an unprivileged read; `None` for any fault.
pub fn translate(tx: &Transaction, mem: &mut dyn PhysMemory) -> Option<u64> {
    let ste = words(mem, STRTAB + 64 * u64::from(tx.who.stream.0)).ok()?;
    let (valid, config, format, cd_max) = (ste[0] & 1, ste[0] >> 1 & 7, ste[0] >> 4 & 3, ste[0] >> 59);
    if valid == 0 || config != 5 {
        return None;
    }
    let ssid = u64::from(tx.who.substream?.0);
    if ssid >> cd_max != 0 {
        return None;
    }
    let table = ste[0] & 0x00ff_ffff_ffff_ffc0;
    let at = match format {
        1 | 2 => {
            let split = if format == 1 { 6 } else { 10 };
            let l1 = word(mem, table + (ssid >> split) * 8).ok()?;
            if l1 & 1 == 0 {
                return None;
            }
            (l1 & 0x00ff_ffff_ffff_f000) + (ssid & ((1 << split) - 1)) * 64
        }
        _ => table + ssid * 64,
    };
    let cd = words(mem, at).ok()?;
    let (valid, t0sz, granule, ips) = (cd[0] >> 31 & 1, cd[0] & 0x3f, cd[0] >> 6 & 3, cd[0] >> 32 & 7);
    if valid == 0 || cd[0] >> 41 & 1 == 0 || !(16..=39).contains(&t0sz) {
        return None;
    }
    let page_bits = [12, 16, 14, 0][granule as usize];
    let output_bits = [32, 36, 40, 42, 44, 48, 52, 52][ips as usize];
    let (stride, input_bits) = (page_bits - 3, 64 - t0sz as u32);
    if page_bits == 0 || tx.iova.0 >> input_bits != 0 {
        return None;
    }
    let mut table = cd[1] & 0x000f_ffff_ffff_fff0;
    let mut shift = page_bits + (input_bits - page_bits).div_ceil(stride) * stride - stride;
    loop {
        let descriptor = word(mem, table + ((tx.iova.0 >> shift) & ((1 << stride) - 1)) * 8).ok()?;
        if descriptor & 1 == 0 {
            return None;
        }
        let address = descriptor & 0x0000_ffff_ffff_f000;
        if address >> output_bits != 0 {
            return None;
        }
        if shift > page_bits && descriptor & 2 != 0 {
            (table, shift) = (address, shift - stride);
            continue;
        }
        let is_leaf = (shift == page_bits) == (descriptor & 2 != 0);
        let (accessed, unprivileged) = (descriptor >> 10 & 1 == 1, descriptor >> 6 & 1 == 1);
        return (is_leaf && accessed && unprivileged).then(|| address | tx.iova.0 & ((1 << shift) - 1));
    }
}
