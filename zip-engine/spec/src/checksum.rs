//! The engine's checksum word: dw31 (D.7 point 6, J.7).

/// The CRC-32 that dw31 of a gzip request stands for: the word is the CRC register before reflection and inversion.
pub const fn crc32_from_gzip_register(register: u32) -> u32 {
    (!register).reverse_bits()
}

/// What dw31 of a gzip request holds for a CRC-32.
pub const fn gzip_register_from_crc32(crc: u32) -> u32 {
    !crc.reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_57_check_value_of_123456789() {
        assert_eq!(gzip_register_from_crc32(0xcbf4_3926), 0x9b63_d02c);
        assert_eq!(crc32_from_gzip_register(0x9b63_d02c), 0xcbf4_3926);
    }

    #[test]
    fn nothing_yet_is_the_register_all_ones() {
        assert_eq!(gzip_register_from_crc32(0), 0xffff_ffff);
        assert_eq!(crc32_from_gzip_register(0xffff_ffff), 0);
    }
}
