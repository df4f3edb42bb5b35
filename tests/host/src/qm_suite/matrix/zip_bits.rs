//! Error bits of the engine, injected through its own set register, told by its own driver and answered by one controller reset.

use super::rig::{Record, Rig, row};

/// Bits that demand a reset on version 3 (E.2).
const RESET: u32 = 0x7fe;

fn bit(bit: u32) {
    let wanted = 1 << bit;
    row(
        |rig| rig.device.silicon().write(0, 0x30_10a8, wanted),
        |rig: &Rig| {
            let named = rig.log.iter().filter(|record| matches!(record, Record::Zip(report) if report.errors & wanted != 0)).count();
            assert_eq!(named, 1, "one record that names the bit: {:?}", rig.log);
            assert_eq!(rig.resets(), usize::from(RESET & wanted != 0), "{:?}", rig.log);
            let (_, [ok, errors, cancelled]) = rig.ledger.sums();
            assert!(ok >= 80 && errors == 0, "{ok} ok, {errors} errors");
            assert_eq!(cancelled != 0, RESET & wanted != 0, "{cancelled} cancelled");
        },
    );
}

#[test]
fn fm_zip_b00_ecc_1bit() {
    bit(0);
}
#[test]
fn fm_zip_b01_ecc_2bit() {
    bit(1);
}
#[test]
fn fm_zip_b02_axi_rresp() {
    bit(2);
}
#[test]
fn fm_zip_b03_axi_bresp() {
    bit(3);
}
#[test]
fn fm_zip_b04_src_addr_parse() {
    bit(4);
}
#[test]
fn fm_zip_b05_dst_addr_parse() {
    bit(5);
}
#[test]
fn fm_zip_b06_pre_in_addr() {
    bit(6);
}
#[test]
fn fm_zip_b07_pre_in_data() {
    bit(7);
}
#[test]
fn fm_zip_b08_com_inf() {
    bit(8);
}
#[test]
fn fm_zip_b09_enc_inf() {
    bit(9);
}
#[test]
fn fm_zip_b10_pre_out() {
    bit(10);
}
#[test]
fn fm_zip_b11_axi_poison() {
    bit(11);
}
#[test]
fn fm_zip_b12_sva_err() {
    bit(12);
}

/// Engine and queue manager fail together: one reset.
#[test]
fn fm_zip_b02_with_qm_b00_is_one_reset() {
    row(
        |rig| {
            rig.device.silicon().write(0, 0x30_10a8, 1 << 2);
            rig.device.silicon().write(0, 0x10_000c, 1);
        },
        |rig| assert_eq!(rig.resets(), 1, "{:?}", rig.log),
    );
}
