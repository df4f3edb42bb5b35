//! Configuration space, as an operating system that has never heard of us walks it.

use qm_model::{Bar, PageRequestStatus, PageRequests, QmModel};
use qm_spec::QmVersion;

use super::machine::*;

fn fresh(version: QmVersion) -> Machine {
    Machine::new(config(version, 4, 8, 4))
}

fn write(machine: &Machine, offset: u16, bytes: u8, value: u32) {
    let mut s = machine.silicon();
    let Silicon { model, port } = &mut *s;
    model.config_write(offset, bytes, value, port);
}

fn read(machine: &Machine, offset: u16, bytes: u8) -> u32 {
    machine.silicon().model.config_read(offset, bytes)
}

#[test]
fn identity_and_header() {
    for (version, revision) in [(QmVersion::V2, 0x21), (QmVersion::V3, 0x30)] {
        let machine = fresh(version);
        assert_eq!(read(&machine, 0, 4), 0xa250_19e5);
        assert_eq!((read(&machine, 0, 2), read(&machine, 2, 2)), (0x19e5, 0xa250));
        assert_eq!(read(&machine, 8, 4), 0x1200_0000 | revision, "processing accelerator");
        assert_eq!(read(&machine, 0xe, 1), 0, "one function, header type 0");
        assert_eq!(read(&machine, 0x3d, 1), 0, "no interrupt pin");
        assert_eq!(read(&machine, 6, 2), 0x10, "capability list");
        write(&machine, 0, 4, 0);
        assert_eq!(read(&machine, 0, 4), 0xa250_19e5);
        assert_eq!(machine.silicon().read(0x10_00dc), revision);
    }
}

#[test]
fn bars_tell_their_size_and_decode_where_they_are_put() {
    let machine = fresh(QmVersion::V3);
    let sizes = |machine: &Machine, at| {
        write(machine, at, 4, u32::MAX);
        write(machine, at + 4, 4, u32::MAX);
        u64::from(read(machine, at, 4)) | u64::from(read(machine, at + 4, 4)) << 32
    };
    assert_eq!(sizes(&machine, 0x18), 0xffff_ffff_ffc0_000c, "4 MiB, 64-bit, prefetchable");
    assert_eq!(sizes(&machine, 0x20), 0xffff_ffff_fff8_000c, "8 pages of 64 KiB");
    for absent in [0x10, 0x14, 0x30] {
        write(&machine, absent, 4, u32::MAX);
        assert_eq!(read(&machine, absent, 4), 0);
    }
    for (at, value) in [(0x18, 0x0040_0000), (0x1c, 0x21), (0x20, 0x0080_0000), (0x24, 0x21)] {
        write(&machine, at, 4, value);
    }
    let decode = |address| machine.silicon().model.decode(address);
    assert_eq!(decode(0x21_0040_0300), Some((Bar::Bar2, 0x300)));
    assert_eq!(decode(0x21_0083_1000), Some((Bar::Bar4, 0x3_1000)));
    assert_eq!((decode(0x21_003f_ffff), decode(0x21_0088_0000), decode(0)), (None, None, None));
    write(&machine, 4, 2, 4);
    assert_eq!(decode(0x21_0040_0300), None, "memory decode off");
    let v2 = fresh(QmVersion::V2);
    assert_eq!((sizes(&v2, 0x18), sizes(&v2, 0x20)), (0xffff_ffff_ffc0_000c, 0), "no doorbell pages on version 2");
}

#[test]
fn capabilities_are_found_by_walking() {
    let machine = fresh(QmVersion::V3);
    let mut seen = Vec::new();
    let mut at = read(&machine, 0x34, 1) as u16;
    while at != 0 {
        seen.push(read(&machine, at, 1));
        at = read(&machine, at + 1, 1) as u16;
        assert!(seen.len() < 8);
    }
    assert_eq!(seen, [0x10, 0x05]);
    assert_eq!(read(&machine, 0x100, 4), 0x0001_001b, "PASID, version 1, last");
    assert_eq!(read(&machine, 0x104, 2), 16 << 8, "16 bits, no execute, no privileged mode");
    write(&machine, 0x106, 2, 1);
    assert_eq!(read(&machine, 0x106, 2), 1);
    assert!(machine.silicon().model.pasid_enabled());
    let mut narrow = config(QmVersion::V3, 4, 8, 4);
    narrow.pasid_width = 0;
    assert_eq!(read(&Machine::new(narrow), 0x100, 4), 0);
}

/// The list of extended capabilities of a part: (id, offset) of each.
fn extended(total_vfs: u16, ats: bool) -> Vec<(u16, u16)> {
    let mut config = config(QmVersion::V3, 4, 8, 4);
    (config.total_vfs, config.ats) = (total_vfs, ats);
    let model = Box::new(QmModel::<8, 4>::new(config));
    let mut seen = Vec::new();
    let mut at = 0x100;
    while at != 0 {
        let header = model.config_read(at, 4);
        seen.push((header as u16, at));
        at = (header >> 20) as u16;
        assert!(seen.len() < 8);
    }
    seen
}

#[test]
fn ats_and_pri_are_there_if_the_part_has_them() {
    assert_eq!(extended(0, false), [(0x1b, 0x100)]);
    assert_eq!(extended(0, true), [(0x1b, 0x100), (0x0f, 0x180), (0x13, 0x190)]);
    assert_eq!(extended(2, false), [(0x1b, 0x100), (0x10, 0x140)]);
    assert_eq!(extended(2, true), [(0x1b, 0x100), (0x10, 0x140), (0x0f, 0x180), (0x13, 0x190)]);
    let without = fresh(QmVersion::V3);
    write(&without, 0x184, 4, u32::MAX);
    assert_eq!((read(&without, 0x184, 4), without.silicon().model.ats_enabled()), (0, false));
}

#[test]
fn ats_is_switched_by_its_enable_alone() {
    let mut config = config(QmVersion::V3, 4, 8, 4);
    config.ats = true;
    let machine = Machine::new(config);
    // Page-aligned requests, global invalidation, 32 invalidations deep, off.
    assert_eq!(read(&machine, 0x184, 4), 0x0000_0060);
    write(&machine, 0x184, 4, 0x7fff_ffff);
    assert_eq!((read(&machine, 0x184, 4), machine.silicon().model.ats_enabled()), (0x60, false));
    write(&machine, 0x186, 2, 0x8000);
    assert_eq!((read(&machine, 0x184, 4), machine.silicon().model.ats_enabled()), (0x8000_0060, true));
    // A function-level reset takes it back.
    write(&machine, 0x48, 2, 0x8000);
    assert_eq!((read(&machine, 0x184, 4), machine.silicon().model.ats_enabled()), (0x60, false));
}

#[test]
fn pri_has_credits_and_shows_what_became_of_requests() {
    let mut config = config(QmVersion::V3, 4, 8, 4);
    config.ats = true;
    let machine = Machine::new(config);
    let state = |machine: &Machine| machine.silicon().model.page_requests();
    // Stopped; answers carry the PASID.
    assert_eq!((read(&machine, 0x194, 4), read(&machine, 0x198, 4), read(&machine, 0x19c, 4)), (0x8100_0000, 96, 0));
    write(&machine, 0x19c, 4, 1000);
    write(&machine, 0x194, 2, 1);
    assert_eq!(read(&machine, 0x194, 4), 0x8000_0001);
    assert_eq!(state(&machine), PageRequests { enabled: true, allocation: 96 }, "never more than there are");
    write(&machine, 0x19c, 4, 8);
    assert_eq!(read(&machine, 0x19c, 4), 1000, "fixed while enabled");
    let seen = PageRequestStatus { failed: true, unexpected: true, outstanding: true };
    machine.silicon().model.note_page_requests(seen);
    assert_eq!(read(&machine, 0x194, 4), 0x8003_0001);
    write(&machine, 0x194, 2, 0);
    assert_eq!(read(&machine, 0x194, 4), 0x8003_0000, "not stopped while a request waits; status stays");
    write(&machine, 0x196, 2, 1);
    assert_eq!(read(&machine, 0x194, 4), 0x8002_0000);
    machine.silicon().model.note_page_requests(PageRequestStatus::default());
    write(&machine, 0x194, 4, 0x0002_0000);
    assert_eq!((read(&machine, 0x194, 4), state(&machine).enabled), (0x8100_0000, false));
}

#[test]
fn msi_has_64_bit_addresses_and_a_mask_per_vector() {
    let machine = Machine::v3(4);
    // 0x80: id 5, enabled, four vectors wanted and granted, 64-bit, per-vector masking.
    assert_eq!(read(&machine, 0x80, 4), 0x01a5_0005);
    machine.bare();
    machine.bare_queue(0, 4, true);
    write(&machine, 0x90, 4, 1);
    {
        let mut s = machine.silicon();
        s.ring_page(0, sq_doorbell(0, 1));
        s.run();
    }
    assert_eq!((machine.vectors(), read(&machine, 0x94, 4)), (vec![], 1), "pending behind the mask");
    write(&machine, 0x94, 4, 0);
    assert_eq!(read(&machine, 0x94, 4), 1, "read-only");
    write(&machine, 0x90, 4, 0);
    assert_eq!((machine.vectors(), read(&machine, 0x94, 4)), (vec![0], 0));
}

#[test]
fn fewer_vectors_share_the_last_and_a_switched_off_msi_is_lost() {
    let machine = Machine::v3(4);
    machine.bare();
    // One vector granted: the data is sent as written.
    write(&machine, 0x82, 2, 1);
    machine.silicon().ring_page(0, sq_doorbell(0, 1));
    machine.bare_queue(0, 4, true);
    machine.silicon().ring_page(0, sq_doorbell(0, 9));
    assert_eq!(machine.vectors(), [0], "the error's message, vector 1, under number 0");
    write(&machine, 0x82, 2, 0x20);
    machine.bare_queue(0, 4, true);
    {
        let mut s = machine.silicon();
        s.ring_page(0, sq_doorbell(0, 1));
        s.run();
    }
    assert_eq!(machine.vectors(), []);
    assert_eq!(machine.silicon().model.counters().messages_lost, 1);
}

#[test]
fn odd_accesses_read_all_ones_and_write_nothing() {
    let machine = fresh(QmVersion::V3);
    for (offset, bytes) in [(1, 2), (3, 2), (1, 4), (2, 4), (0, 8), (0, 3), (0x1000, 4), (0xfffc, 4)] {
        assert_eq!(read(&machine, offset, bytes), u32::MAX, "{offset:#x} {bytes}");
        write(&machine, offset, bytes, 0);
    }
    for offset in (0..0x1000).step_by(4) {
        let before = read(&machine, offset, 4);
        let bytes = [0, 1, 2, 3].map(|byte| read(&machine, offset + byte, 1) as u8);
        assert_eq!(u32::from_le_bytes(bytes), before);
    }
}

/// What Linux counts on: after a function-level reset it writes the VFT without another memory initialisation.
#[test]
fn a_function_level_reset_empties_the_internal_memory_and_leaves_it_usable() {
    let machine = fresh(QmVersion::V3);
    machine.bare();
    assert_eq!(machine.silicon().model.queue_count(), 4);
    write(&machine, 0x48, 2, 0x8000);
    let mut s = machine.silicon();
    assert_eq!((s.model.queue_count(), s.read(0x10_0044)), (0, 1));
    s.vft(0, 0x0000_7000_0000_0000);
    s.vft(1, 0x1000_0000);
    assert_eq!(s.model.queue_count(), 4);
    s.model.reset();
    assert_eq!(s.read(0x10_0044), 0, "a controller reset takes the memory as well");
}
