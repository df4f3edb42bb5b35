//! Error bits of the queue manager, injected through ABNORMAL_INT_SET.

use super::rig::{Record, Rig, row};

/// Bits that demand a reset on version 3 (B.7).
const RESET: u32 = 0x6c77;
/// Bits that are reported: correctable and non-fatal.
const REPORTED: u32 = 0x7c7f;

fn bit(bit: u32) {
    let wanted = 1 << bit;
    row(
        |rig| rig.device.silicon().write(0, 0x10_000c, wanted),
        |rig: &Rig| {
            let named = rig.log.iter().filter(|record| matches!(record, Record::Qm(report) if report.errors & wanted != 0)).count();
            assert_eq!(named, usize::from(REPORTED & wanted != 0), "one record that names the bit: {:?}", rig.log);
            assert_eq!(rig.resets(), usize::from(RESET & wanted != 0), "{:?}", rig.log);
            let (_, [ok, errors, cancelled]) = rig.ledger.sums();
            assert!(ok >= 80 && errors == 0, "{ok} ok, {errors} errors");
            assert_eq!(cancelled != 0, RESET & wanted != 0, "{cancelled} cancelled");
        },
    );
}

#[test]
fn fm_qm_b00_axi_rresp() {
    bit(0);
}
#[test]
fn fm_qm_b01_axi_bresp() {
    bit(1);
}
#[test]
fn fm_qm_b02_ecc_mbit() {
    bit(2);
}
#[test]
fn fm_qm_b03_ecc_1bit() {
    bit(3);
}
#[test]
fn fm_qm_b04_get_task_timeout() {
    bit(4);
}
#[test]
fn fm_qm_b05_do_task_timeout() {
    bit(5);
}
#[test]
fn fm_qm_b06_wb_not_ready() {
    bit(6);
}
#[test]
fn fm_qm_b07_sq_cq_vf_invalid() {
    bit(7);
}
#[test]
fn fm_qm_b08_cq_vf_invalid() {
    bit(8);
}
#[test]
fn fm_qm_b09_sq_vf_invalid() {
    bit(9);
}
#[test]
fn fm_qm_b10_db_timeout() {
    bit(10);
}
#[test]
fn fm_qm_b11_fifo_overflow() {
    bit(11);
}
#[test]
fn fm_qm_b12_db_random_invalid() {
    bit(12);
}
#[test]
fn fm_qm_b13_mailbox_timeout() {
    bit(13);
}
#[test]
fn fm_qm_b14_flr_timeout() {
    bit(14);
}
