//! The machine's own rules, shown on the smallest programs.

use hal::{BusError, Clock, DmaBuffer, DmaMapper, Pa, PhysMemory, poll_until};
use std::time::Duration;

use super::*;
use hal::Barriers;

fn machine() -> (HostMemory, HostDma) {
    let memory = HostMemory::new();
    let dma = HostDma::new(&memory, Pa(0x10_0000), 0x10_0000);
    (memory, dma)
}

fn at(buffer: &HostBuffer, offset: u64) -> Pa {
    Pa(buffer.device_address().0 + offset)
}

#[test]
fn a_store_reaches_the_device_at_the_write_barrier_only() {
    let (memory, dma) = machine();
    let buffer = dma.alloc(64, 64).unwrap();
    buffer.write64(8, 0x1122);
    assert_eq!(memory.peek64(at(&buffer, 8)), 0);
    assert_eq!(buffer.read64(8), 0x1122, "the CPU reads its own store");
    buffer.write8(9, 0xee);
    assert_eq!(buffer.read16(8), 0xee22, "byte by byte");
    dma.dma_wmb();
    assert_eq!(memory.peek64(at(&buffer, 8)), 0xee22);
}

#[test]
fn data_behind_a_flag_is_old_without_a_read_barrier() {
    let (mut memory, dma) = machine();
    let ring = dma.alloc(64, 64).unwrap();
    let data = dma.alloc(64, 64).unwrap();
    for use_barrier in [false, true] {
        dma.dma_rmb();
        // The CPU polls flag and data before; that must not help it.
        let (flag, seen) = (ring.read32(12), data.read64(0));
        memory.write64(at(&data, 0), seen + 7).unwrap();
        memory.write(at(&ring, 8), &[1, 2, 3, 4, flag as u8 + 1, 0, 0, 0]).unwrap();
        assert_eq!(ring.read32(12), flag + 1, "the flag itself is new");
        if use_barrier {
            dma.dma_rmb();
        }
        assert_eq!(data.read64(0), if use_barrier { seen + 7 } else { seen });
        assert_eq!(ring.read32(8), if use_barrier { 0x0403_0201 } else { 0 }, "same word, other bytes");
        dma.dma_wmb();
        memory.write64(at(&ring, 8), u64::from(flag + 1) << 32).unwrap();
        memory.poke64(at(&ring, 8), 0);
    }
}

#[test]
fn a_second_load_of_a_stale_word_is_new() {
    let (mut memory, dma) = machine();
    let buffer = dma.alloc(64, 64).unwrap();
    memory.write64(at(&buffer, 0), 1).unwrap();
    memory.write64(at(&buffer, 8), 2).unwrap();
    assert_eq!((buffer.read64(0), buffer.read64(8), buffer.read64(8)), (1, 0, 2));
    memory.write64(at(&buffer, 8), 3).unwrap();
    assert_eq!(buffer.read64(8), 3);
    memory.write64(at(&buffer, 16), 4).unwrap();
    dma.take_interrupt();
    assert_eq!(buffer.read64(16), 4);
}

#[test]
fn own_committed_stores_are_never_taken_back() {
    let (mut memory, dma) = machine();
    let buffer = dma.alloc(4096, 4096).unwrap();
    memory.write64(at(&buffer, 0), 1).unwrap();
    buffer.write64(64, 9);
    dma.dma_wmb();
    assert_eq!((buffer.read64(0), buffer.read64(64)), (1, 9));
}

#[test]
fn seeded_release_keeps_order_per_word_and_loses_nothing() {
    let memory = HostMemory::new();
    for seed in 1..20 {
        let dma = HostDma::with_release(&memory, Pa(0x10_0000), 0x1_0000, StoreRelease::Seeded(seed));
        let buffer = dma.alloc(256, 64).unwrap();
        for i in 0..32 {
            buffer.write64(i * 8, 1);
            buffer.write64(i * 8, 2);
        }
        let early = (0..32).filter(|i| memory.peek64(at(&buffer, i * 8)) != 0).count();
        assert!(early > 0 && early < 32);
        dma.dma_wmb();
        assert!((0..32).all(|i| memory.peek64(at(&buffer, i * 8)) == 2));
        dma.free(buffer);
    }
}

#[test]
fn freed_memory_is_a_hole_and_new_memory_is_zero_once_that_is_published() {
    let (mut memory, dma) = machine();
    let buffer = dma.alloc(4096, 4096).unwrap();
    let place = at(&buffer, 0);
    buffer.write64(0, 5);
    dma.dma_wmb();
    dma.free(buffer);
    assert_eq!(memory.read64(place), Err(BusError));
    assert_eq!(memory.write64(place, 1), Err(BusError));
    let again = dma.alloc(4096, 4096).unwrap();
    assert_eq!((at(&again, 0), again.read64(0)), (place, 0));
    again.write64(8, 7);
    assert_eq!([0, 8].map(|offset| memory.read64(Pa(place.0 + offset))), [Ok(u64::MAX); 2], "the device finds what was there before");
    dma.dma_wmb();
    assert_eq!([0, 8].map(|offset| memory.read64(Pa(place.0 + offset))), [Ok(0), Ok(7)]);
    dma.free(again);
    assert_eq!(dma.live_buffers(), 0);
}

#[test]
fn a_range_over_a_hole_is_refused_whole() {
    let mut memory = HostMemory::with_ram(&[(0x1000, 0x1000), (0x2000, 0x1000), (0x4000, 0x1000)]);
    assert_eq!(memory.write(Pa(0x1800), &[1; 0x1000]), Ok(()));
    assert_eq!(memory.write(Pa(0x2fff), &[7; 2]), Err(BusError));
    let mut byte = [0];
    memory.read(Pa(0x2fff), &mut byte).unwrap();
    assert_eq!(byte, [0]);
    assert_eq!(memory.read(Pa(u64::MAX), &mut [0; 2]), Err(BusError));
}

#[test]
fn waits_end_under_the_fake_clock() {
    let clock = FakeClock::new();
    assert!(poll_until(&clock, Duration::from_millis(10), || None::<()>).is_err());
    assert!((10_000..20_000).contains(&clock.now_ticks()));
}
