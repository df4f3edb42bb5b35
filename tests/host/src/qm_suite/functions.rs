//! Virtual functions: configuration space, shares, isolation, messages.

use hal::{ConfigSpace, Requester, SubstreamId};
use qm_driver::{Peer, QmError};
use qm_model::Bar;
use qm_spec::{ALL_VFS, PeerCommand, PeerMessage};

use super::machine::{RAM, STREAM};
use super::many::*;

#[test]
fn the_sriov_capability_is_found_behind_pasid_and_counts_its_functions() {
    let device = Device::new(63);
    let c = &device.config;
    assert_eq!((c.read32(0x100), c.read32(0x140)), (0x1401_001b, 0x0001_0010));
    assert_eq!((c.read32(0x14c), c.read32(0x154), c.read32(0x158)), (0x003f_003f, 0x0001_0001, 0xa251_0000));
    assert_eq!((c.read32(0x15c), c.read32(0x160)), (0x15, 1), "page sizes: 4, 16 and 64 KiB");
    for at in [0x16c, 0x170, 0x174, 0x178] {
        c.write32(at, u32::MAX);
    }
    assert_eq!((c.read32(0x16c), c.read32(0x170)), (0xffff_000c, u32::MAX), "64 KiB of registers");
    assert_eq!((c.read32(0x174), c.read32(0x178)), (0xff00_000c, u32::MAX), "256 doorbell pages");
    assert_eq!(c.read32(0x44) & 1 << 28, 1 << 28, "function-level reset");
    for (vfs, enabled) in [(0, 0), (64, 0), (2, 1)] {
        c.write32(0x150, vfs);
        c.write32(0x148, 1);
        assert_eq!(c.read32(0x148) & 1, enabled, "{vfs} functions");
    }
    c.write32(0x150, 5);
    assert_eq!(c.read32(0x150), 2, "fixed while they are enabled");
    assert_eq!(Device::new(0).config.read32(0x100), 0x0001_001b, "no virtual functions, no capability");
}

#[test]
fn functions_decode_their_own_bars_and_show_a_virtual_functions_space() {
    let device = Device::new(8);
    let c = &device.config;
    for (at, value) in [(0x16c, 0x4000_0000), (0x170, 0x22), (0x174, 0x8000_0000), (0x178, 0x22), (0x150, 3), (0x148, 9)] {
        c.write32(at, value);
    }
    let decode = |address| device.silicon().model.decode_function(address);
    assert_eq!(decode(0x22_4000_0300), Some((1, Bar::Bar2, 0x300)));
    assert_eq!(decode(0x22_4002_3100), Some((3, Bar::Bar2, 0x3100)));
    assert_eq!(decode(0x22_4003_0000), None, "the fourth is not there");
    assert_eq!(decode(0x22_8100_1000), Some((2, Bar::Bar4, 0x1000)));
    c.write32(0x148, 1);
    assert_eq!(decode(0x22_4000_0300), None, "memory decode of the virtual functions is off");
    let vf = device.config(3);
    assert_eq!((vf.read32(0), vf.read32(0x18), vf.read32(0x100)), (u32::MAX, 0, 0));
    assert_eq!((vf.read32(0x08), vf.read32(0x44) >> 28 & 1), (0x1200_0030, 1));
    vf.write32(4, 0xffff);
    assert_eq!(vf.read32(4) & 0xffff, 4, "only bus master can be set");
    assert_eq!(device.config(4).read32(8), u32::MAX);
    c.write32(0x148, 0);
    assert_eq!(vf.read32(8), u32::MAX);
}

#[test]
fn qm_v04_shares_follow_the_split_and_bad_counts_are_refused() {
    let device = Device::new(63);
    let mut pf = device.physical();
    assert_eq!(pf.enable_vfs(0, &device.config), Err(QmError::Invalid));
    assert_eq!(pf.enable_vfs(64, &device.config), Err(QmError::Invalid));
    assert_eq!(pf.set_qos(1, 100), Err(QmError::Invalid), "no such function yet");
    // 256 queues, 4 of them the physical function's: 252 = 3 × 84.
    pf.enable_vfs(3, &device.config).unwrap();
    assert_eq!(pf.enable_vfs(3, &device.config), Err(QmError::VfsEnabled));
    let shares = [1u8, 2, 3].map(|vf| device.silicon().command(vf, 0x4006, 0));
    let row = |first: u64| (0, first << 28 | 1 << 44 | 83 << 45);
    assert_eq!(shares, [row(172), row(88), row(4)], "the highest function's share comes first");
    assert_eq!(pf.shutdown(), Err(QmError::VfsEnabled));
    assert_eq!(pf.disable_vfs(&device.config, |vf| vf == 2), Err(QmError::VfsBusy));
    assert_eq!(device.silicon().model.virtual_functions(), 3, "and nothing was done");
    pf.disable_vfs(&device.config, |_| false).unwrap();
    assert_eq!([1u8, 2, 3].map(|vf| device.silicon().model.function_queue_count(vf)), [0; 3]);
    pf.enable_vfs(63, &device.config).unwrap();
    for vf in 1..=63u8 {
        assert_eq!(device.silicon().model.function_queue_count(vf), 4, "{vf}");
    }
    pf.disable_vfs(&device.config, |_| false).unwrap();
    pf.shutdown().unwrap();
    assert_eq!(device.dma.live_buffers(), 0);
}

#[test]
fn qm_v04_a_failure_half_way_leaves_no_share_behind() {
    let device = Device::new(8);
    let mut pf = device.physical();
    device.config.stuck.set(Some((0x148, 1)));
    assert_eq!(pf.enable_vfs(4, &device.config), Err(QmError::Unsupported));
    assert_eq!(pf.vf_count(), 0);
    for vf in 0..8u8 {
        assert_eq!(device.silicon().model.function_queue_count(vf), if vf == 0 { 4 } else { 0 });
    }
    device.config.stuck.set(None);
    pf.enable_vfs(4, &device.config).unwrap();
}

#[test]
fn qm_v01_registers_of_the_physical_function_read_zero_and_ignore_writes() {
    let device = Device::new(2);
    let _drivers = device.with_vfs(2);
    let before: Vec<u32> = (0..0x400).map(|word| device.silicon().read(0, 0x10_0000 + 4 * word)).collect();
    for base in [0x8000, 0x10_0000, 0x10_4000, 0x18_0000, 0x30_0000, 0x30_1000] {
        for word in 0..0x100 {
            let mut s = device.silicon();
            s.write(1, base + 4 * word, u32::MAX);
            assert_eq!(s.read(1, base + 4 * word), 0, "{base:#x} + {word}");
        }
    }
    let after: Vec<u32> = (0..0x400).map(|word| device.silicon().read(0, 0x10_0000 + 4 * word)).collect();
    assert_eq!(before, after);
    assert_eq!(device.silicon().read(1, 0x3100) & 0xff, 1, "the capability table is everybody's");
}

#[test]
fn qm_v01_eight_functions_run_their_own_jobs_on_their_own_stream() {
    let device = Device::new(8);
    let (mut pf, vfs) = device.with_vfs(8);
    device.vectors();
    let own = queue(&mut pf);
    good_jobs(&device, &mut pf, own, 20);
    assert_eq!(device.vectors(), [0]);
    for (index, vf) in vfs.iter().enumerate() {
        let mut vf = vf.borrow_mut();
        let queue = queue(&mut vf);
        assert_eq!(queue.0, 0, "numbers are the function's own");
        device.port.take_log();
        good_jobs(&device, &mut vf, queue, 20);
        let who = Requester { stream: hal::StreamId(STREAM.0 + index as u32 + 1), substream: None::<SubstreamId>, privileged: false };
        assert!(device.port.take_log().iter().all(|(seen, ..)| *seen == who), "function {}", index + 1);
        assert_eq!(device.vectors(), [4 * (index as u32 + 1)], "its own vector");
        let mut served = Vec::new();
        vf.handle_eq(|queue| served.push(queue));
        assert_eq!(served, [queue]);
    }
}

#[test]
fn qm_v02_a_queue_number_of_a_neighbour_is_refused_and_recorded() {
    let device = Device::new(2);
    let (_pf, vfs) = device.with_vfs(2);
    let victim = queue(&mut vfs[1].borrow_mut());
    let hostile = queue(&mut vfs[0].borrow_mut());
    // 252 queues for two: 126 each. The neighbour's queues have no number in this function.
    for qn in [126u64, 127, 200, 255, 1023] {
        let mut s = device.silicon();
        s.write(0, 0x10_0000, u32::MAX);
        s.store(1, Bar::Bar2, 0x1000, 8, 3 << 32 | qn);
        assert_eq!(s.read(0, 0x10_0000), 1 << 9, "doorbell to {qn}");
        s.store(1, Bar::Bar2, 0x1000, 8, 3 << 32 | 0x1000 | qn);
        assert_eq!(s.read(0, 0x10_0000), 3 << 8);
        s.store(1, Bar::Bar4, qn % 256 * 0x1_0000 + 0x1000, 8, 3 << 32 | qn);
        for command in [0x0, 0x1, 0x8] {
            assert_eq!(s.command(1, (qn as u32) << 16 | command, RAM).0, 2, "mailbox {command} of {qn}");
        }
        assert!(s.model.next_task(&mut device.port.clone()).is_none());
    }
    good_jobs(&device, &mut vfs[1].borrow_mut(), victim, 100);
    good_jobs(&device, &mut vfs[0].borrow_mut(), hostile, 100);
}

#[test]
fn qm_v02_overlapping_shares_are_not_taken() {
    let device = Device::new(2);
    let (_pf, vfs) = device.with_vfs(2);
    let queue = queue(&mut vfs[0].borrow_mut());
    let mut s = device.silicon();
    // VF 2 is to get VF 1's first queue, 130, too.
    let grab = 130u64 << 28 | 1 << 44 | 3 << 45;
    for (at, value) in [(0x58, 0), (0x5c, 0), (0x60, 2), (0x64, grab as u32), (0x68, (grab >> 32) as u32), (0x6c, 0), (0x54, 1)] {
        s.write(0, 0x10_0000 + at, value);
    }
    assert_eq!(s.model.counters().shares_refused, 1);
    assert_eq!(s.model.function_queue_count(2), 126, "it keeps what it had");
    drop(s);
    good_jobs(&device, &mut vfs[0].borrow_mut(), queue, 10);
}

#[test]
fn qm_v02_a_function_without_bus_master_or_memory_disturbs_no_other() {
    let device = Device::new(2);
    let (_pf, vfs) = device.with_vfs(2);
    let (a, b) = (queue(&mut vfs[0].borrow_mut()), queue(&mut vfs[1].borrow_mut()));
    vfs[0].borrow_mut().submit(a, &[1; 32]).unwrap();
    device.config(1).write32(4, 0);
    assert_eq!(device.silicon().run(), []);
    good_jobs(&device, &mut vfs[1].borrow_mut(), b, 50);
    device.config(1).write32(4, 4);
    assert_eq!(device.silicon().run(), [1]);
}

#[test]
fn qm_r08_a_reset_of_one_virtual_function_leaves_the_others_running() {
    let device = Device::new(3);
    let (mut pf, vfs) = device.with_vfs(3);
    let queues: Vec<_> = vfs.iter().map(|vf| queue(&mut vf.borrow_mut())).collect();
    vfs[0].borrow_mut().submit(queues[0], &[9; 32]).unwrap();
    let task = device.silicon().model.next_task(&mut device.port.clone()).unwrap();
    assert!(device.silicon().model.is_current(&task));
    assert_eq!(vfs[0].borrow_mut().prepare_function_reset(), Ok(0), "it does not drain, and that is what the reset is for");
    device.config(1).write32(0x48, 1 << 15);
    assert_eq!(device.config(1).read32(0x48) & 1 << 15, 0, "reads 0");
    {
        let mut s = device.silicon();
        assert!(!s.model.is_current(&task));
        device.port.take_log();
        assert_eq!(s.model.complete(&task, &mut device.port.clone()), Ok(qm_model::Completion::Dropped));
    }
    assert_eq!(device.port.take_log(), [], "nothing is written after the reset");
    for index in [1, 2] {
        good_jobs(&device, &mut vfs[index].borrow_mut(), queues[index], 100);
    }
    device.set_up(1);
    let platform = device.platform();
    vfs[0].borrow_mut().finish_function_reset(&mut device.around(&mut || true, &mut || true, &platform)).unwrap();
    restart(&mut vfs[0].borrow_mut(), queues[0]);
    good_jobs(&device, &mut vfs[0].borrow_mut(), queues[0], 100);
    pf.set_qos(1, 500).unwrap();
}

#[test]
fn qm_v03_messages_reach_whom_they_name_and_are_acknowledged() {
    let device = Device::new(63);
    let mut pf = device.physical();
    pf.enable_vfs(63, &device.config).unwrap();
    let mut drivers: Vec<_> = [1u8, 31, 32, 63].map(|vf| device.virtual_function(vf)).into_iter().collect();
    device.vectors();
    // Nobody listens: the wait is bounded, and names the function.
    let word = PeerMessage { command: PeerCommand::PF_SET_QOS, argument: 100_000 };
    let before = device.clock.micros();
    assert_eq!(pf.tell_vf(32, word), Err(QmError::PeerSilent { function: 32 }));
    assert!((100_000..200_000).contains(&(device.clock.micros() - before)));
    assert_eq!(device.vectors(), [4 * 32 + 2]);
    let read = |function, offset| device.silicon().read(function, offset);
    assert_eq!((read(0, 0x10_0128), read(0, 0x10_012c)), (0, 1), "upper word");
    assert_eq!(drivers[2].handle_pf_message(), Ok(Some(word)), "late, and not lost");
    assert_eq!(drivers[2].handle_pf_message(), Ok(None), "once");
    assert_eq!(device.silicon().read(0, 0x10_012c), 0);
    assert_eq!(drivers[2].qos(0), Some(1000));
    for driver in [0, 1, 3] {
        assert_eq!(drivers[driver].handle_pf_message(), Ok(None));
    }
    assert_eq!(pf.tell_vf(0, word), Err(QmError::Invalid));
    assert_eq!(pf.tell_vf(64, word), Err(QmError::Invalid));
    // From the other side.
    drivers[3].tell_pf(PeerMessage::new(PeerCommand::VF_START_DONE)).unwrap();
    assert_eq!(device.vectors(), [2]);
    assert_eq!((read(0, 0x10_013c), read(63, 0x2c)), (1 << 31, 1));
    let second = PeerMessage::new(PeerCommand::VF_START_FAIL);
    assert_eq!(drivers[3].tell_pf(second), Err(QmError::PeerSilent { function: 0 }), "the first has not been taken");
    let mut said = Vec::new();
    pf.handle_vf_messages(|peer| said.push(peer)).unwrap();
    assert_eq!(said, [Peer { function: 63, message: PeerMessage::new(PeerCommand::VF_START_DONE) }]);
    assert_eq!(device.silicon().read(63, 0x2c), 0);
    drivers[3].tell_pf(second).unwrap();
    // A broadcast with 59 functions that have no driver.
    assert_eq!(pf.tell_vf(ALL_VFS, word), Err(QmError::PeerSilent { function: 1 }));
    assert_eq!(drivers[0].handle_pf_message(), Ok(Some(word)));
}

#[test]
fn qm_v03_a_function_asks_for_its_rate() {
    let device = Device::new(2);
    let (mut pf, vfs) = device.with_vfs(2);
    pf.set_qos(2, 250).unwrap();
    vfs[1].borrow_mut().tell_pf(PeerMessage::new(PeerCommand::VF_GET_QOS)).unwrap();
    pf.handle_vf_messages(|_| {}).unwrap();
    assert_eq!((vfs[1].borrow().qos(0), vfs[0].borrow().qos(0)), (Some(250), Some(1000)));
}

#[test]
fn qm_v03_messages_between_virtual_functions_do_not_exist() {
    let device = Device::new(2);
    let _drivers = device.with_vfs(2);
    let mut s = device.silicon();
    for (function, peer, status) in [(1, 0, 0), (1, 1, 7), (1, 2, 7), (1, 0xffff, 7), (0, 0, 7), (0, 3, 7), (0, 2, 0), (0, 0xffff, 0)] {
        assert_eq!(s.command(function, peer << 16 | 0xc, 0x55).0, status, "{function} to {peer}");
    }
    assert_eq!(s.command(0, 1 << 16 | 0xd, 0), (0, 0x55));
    assert_eq!(s.command(2, 0x400d, 0), (0, 0x55), "either direction bit fetches");
    assert_eq!(s.command(2, 1 << 16 | 0xd, 0).0, 7);
}

/// Page requests of all functions go by the physical function's PRI; translations are each function's own.
#[test]
fn a_virtual_function_has_ats_of_its_own_and_no_pri() {
    let device = Device::new(2);
    device.silicon().model.offer_ats();
    let (_physical, _virtual) = device.with_vfs(2);
    let config = device.config(1);
    let extended = || [0x100, 0x104, 0x140, 0x180, 0x184, 0x190, 0x194, 0x19c].map(|at| config.read32(at));
    // An empty header that points on, and ATS as the last capability: page-aligned requests, global invalidation, off.
    assert_eq!(extended(), [0x1801_0000, 0, 0, 0x0001_000f, 0x60, 0, 0, 0]);
    for (at, value) in [(0x184, 0xffff_ffff), (0x194, 1), (0x19c, 8)] {
        config.write32(at, value);
    }
    assert_eq!(extended(), [0x1801_0000, 0, 0, 0x0001_000f, 0x8000_0060, 0, 0, 0]);
    let enabled = || [0, 1, 2, 63].map(|function| device.silicon().model.function_ats_enabled(function));
    assert_eq!((enabled(), device.silicon().model.page_requests().enabled), ([false, true, false, false], false));
    config.write32(0x48, 1 << 15);
    assert_eq!(enabled(), [false; 4], "a function-level reset takes it back");
    config.write32(0x184, 1 << 31);
    device.config.write32(0x148, 0);
    assert_eq!(enabled(), [false; 4], "so does disabling the function");
}
