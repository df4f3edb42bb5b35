//! CRC-32 of gzip (RFC 1952 §8): polynomial 0x04c11db7, reflected, inverted at both ends.

/// The CRC-32 of no data.
pub const CRC32_INIT: u32 = 0;

/// The polynomial 0x04c11db7 with its bits reversed.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// Tables for eight bytes a round: `TABLES[k][b]` is the CRC of byte `b` followed by `k` zero bytes.
///
/// Shape: 8 × 256 × 4 = 8 KiB. Sixteen tables need 6 % fewer instructions per byte and twice the cache, four need 20 % more.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ POLYNOMIAL };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// Extends the CRC-32 `crc` of earlier data over `data`; start with [`CRC32_INIT`].
///
/// The value is the one that a gzip trailer holds, so it can be stored and fed back.
pub fn crc32(crc: u32, data: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if let Some((folded, rest)) = crate::fast::checksum::crc_fold(!crc, data) {
        return !by_tables(by_tables(0, &folded), rest);
    }
    !by_tables(!crc, data)
}

/// Runs the register over `data`, eight bytes a round.
fn by_tables(register: u32, data: &[u8]) -> u32 {
    let mut register = u64::from(register);
    let (rounds, rest) = data.as_chunks::<8>();
    for round in rounds {
        let word = u64::from_le_bytes(*round) ^ register;
        let pick = |k: usize| u64::from(TABLES[7 - k][((word >> (8 * k)) & 0xff) as usize]);
        register = (pick(0) ^ pick(1)) ^ (pick(2) ^ pick(3)) ^ (pick(4) ^ pick(5)) ^ (pick(6) ^ pick(7));
    }
    let mut register = register as u32;
    for &byte in rest {
        register = (register >> 8) ^ TABLES[0][((register ^ u32::from(byte)) & 0xff) as usize];
    }
    register
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bit at a time, straight from the polynomial.
    fn slow(crc: u32, data: &[u8]) -> u32 {
        let mut register = !crc;
        for &byte in data {
            register ^= u32::from(byte);
            for _ in 0..8 {
                register = if register & 1 == 0 { register >> 1 } else { (register >> 1) ^ POLYNOMIAL };
            }
        }
        !register
    }

    #[test]
    fn check_value_of_the_nine_digits() {
        assert_eq!(crc32(CRC32_INIT, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(CRC32_INIT, b""), 0);
        assert_eq!(crc32(CRC32_INIT, b"a"), 0xe8b7_be43);
    }

    #[test]
    fn every_length_and_cut_agrees_with_the_bitwise_form() {
        let data: [u8; 300] = core::array::from_fn(|i| (i * 151 + 7) as u8);
        for len in 0..data.len() {
            let whole = slow(CRC32_INIT, &data[..len]);
            assert_eq!(!by_tables(!CRC32_INIT, &data[..len]), whole, "tables, {len}");
            for cut in 0..=len {
                assert_eq!(crc32(crc32(CRC32_INIT, &data[..cut]), &data[cut..len]), whole, "{cut} of {len}");
            }
        }
    }
}
