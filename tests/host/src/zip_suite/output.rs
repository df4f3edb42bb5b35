//! Output space and scatter lists.

use super::rig::*;
use hal::Iova;
use zip_model::Direction;
use zip_spec::{BufferType, Completion, Container, Request, SglEntry, SglHeader, Status};

#[test]
fn zp_o01_one_byte_short_is_too_small_and_exact_is_not() {
    let mut rig = Rig::new(4);
    let data = text(100_000, 1);
    for container in FORMATS {
        for direction in [Direction::Compress, Direction::Decompress] {
            let input = if direction == Direction::Compress { data.clone() } else { judge_encode(container, &data, 6) };
            let (_, whole) = rig.one_shot(container, direction, &input, 200_000);
            for room in [whole.len() - 1, whole.len() / 2, 4096, 199, 17, 1] {
                let (completion, part) = rig.one_shot(container, direction, &input, room);
                assert_eq!(completion.status, Status::DESTINATION_TOO_SMALL, "{container:?} {direction:?} {room}");
                // ZP-O03: the counts are exact, and what was written is a prefix.
                assert_eq!(part.len(), room);
                assert!(part == whole[..room]);
                assert!(completion.consumed as usize <= input.len());
            }
            let (completion, exact) = rig.one_shot(container, direction, &input, whole.len());
            assert_eq!((completion.status, exact.len()), (Status::SUCCESS, whole.len()), "{container:?} {direction:?}");
        }
    }
}

#[test]
fn zp_o01_no_room_at_all() {
    let mut rig = Rig::new(1);
    let body = judge_encode(Container::Zlib, b"x", 6);
    let source = rig.put(&body);
    let completion = rig.run(flat(Container::Zlib, source, body.len(), Iova(0), 0), Direction::Decompress);
    assert_eq!((completion.status, completion.produced), (Status::DESTINATION_TOO_SMALL, 0));
    // A stream of nothing needs no room.
    let body = judge_encode(Container::Zlib, b"", 6);
    let source = rig.put(&body);
    let completion = rig.run(flat(Container::Zlib, source, body.len(), Iova(0), 0), Direction::Decompress);
    assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, body.len()));
}

/// Lays entries out as a chain of lists of at most `per_list` entries; returns the head.
pub(super) fn chain(rig: &mut Rig, entries: &[SglEntry], per_list: usize) -> Iova {
    let lists: Vec<&[SglEntry]> = entries.chunks(per_list).collect();
    let places: Vec<Iova> = lists.iter().map(|list| rig.aligned(64 + 32 * list.len(), 64)).collect();
    for (i, list) in lists.iter().enumerate() {
        let header = SglHeader {
            next: places.get(i + 1).copied().unwrap_or(Iova(0)),
            // What the kernel writes here is a capacity, not a count: it must not matter.
            entry_sum_in_chain: 0xbeef,
            entry_sum_in_sgl: list.len() as u16,
            entry_length_in_sgl: per_list as u16,
        };
        rig.poke(places[i], &header.to_bytes());
        for (j, entry) in list.iter().enumerate() {
            let mut bytes = entry.to_bytes();
            bytes[8..16].fill(0xee);
            bytes[20..].fill(0xee);
            rig.poke(Iova(places[i].0 + 64 + 32 * j as u64), &bytes);
        }
    }
    places[0]
}

/// Cuts `len` bytes of memory into entries of random length.
pub(super) fn cut(rig: &mut Rig, len: usize, random: &mut Random, longest: usize) -> Vec<SglEntry> {
    let mut entries = vec![];
    let mut left = len;
    while left > 0 {
        let bytes = (1 + random.below(longest)).min(left);
        entries.push(SglEntry { address: rig.room(bytes), len_bytes: bytes as u32 });
        left -= bytes;
    }
    entries
}

pub(super) fn scatter(rig: &mut Rig, entries: &[SglEntry], data: &[u8]) {
    let mut at = 0;
    for entry in entries {
        let end = (at + entry.len_bytes as usize).min(data.len());
        rig.poke(entry.address, &data[at..end]);
        at = end;
    }
}

pub(super) fn gather(rig: &Rig, entries: &[SglEntry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| rig.peek(entry.address, entry.len_bytes as usize)).collect()
}

fn with_lists(container: Container, source: Iova, len: usize, destination: Iova, room: usize) -> Request {
    Request { buffer_type: BufferType::SGL, ..flat(container, source, len, destination, room) }
}

#[test]
fn zp_o04_lists_with_random_cuts_equal_flat() {
    let mut random = Random(11);
    for round in 0..24 {
        let mut rig = Rig::new(48);
        let data = text(1 + random.below(60_000), round);
        let container = FORMATS[round as usize % 3];
        let room = data.len() + data.len() / 8 + 64;
        for direction in [Direction::Compress, Direction::Decompress] {
            let input = if direction == Direction::Compress { data.clone() } else { judge_encode(container, &data, 6) };
            let (flat_completion, whole) = rig.one_shot(container, direction, &input, room);
            let longest = [40, 700, 5000, 40_000][round as usize % 4];
            let (from, into) = (cut(&mut rig, input.len(), &mut random, longest), cut(&mut rig, room, &mut random, longest));
            scatter(&mut rig, &from, &input);
            let per_list = [255, 1, 10, 77][random.below(4)].max(from.len().max(into.len()).div_ceil(256));
            let (source, destination) = (chain(&mut rig, &from, per_list), chain(&mut rig, &into, per_list));
            let completion = rig.run(with_lists(container, source, input.len(), destination, room), direction);
            assert_eq!(completion, Completion { tag: completion.tag, ..flat_completion }, "round {round}");
            assert!(gather(&rig, &into)[..whole.len()] == whole[..], "round {round}");
            for entry in &into {
                assert!(rig.guard_is_intact(entry.address, entry.len_bytes as usize));
            }
        }
    }
}

#[test]
fn zp_o04_one_byte_entries() {
    let mut rig = Rig::new(4);
    let data = text(200, 1);
    let (_, whole) = rig.one_shot(Container::Zlib, Direction::Compress, &data, 300);
    let one = |rig: &mut Rig, count: usize| -> Vec<SglEntry> {
        let at = rig.room(count);
        (0..count as u64).map(|i| SglEntry { address: Iova(at.0 + i), len_bytes: 1 }).collect()
    };
    let (from, into) = (one(&mut rig, 200), one(&mut rig, 255));
    scatter(&mut rig, &from, &data);
    let (source, destination) = (chain(&mut rig, &from, 255), chain(&mut rig, &into, 255));
    let completion = rig.run(with_lists(Container::Zlib, source, 200, destination, 255), Direction::Compress);
    assert_eq!(completion.produced as usize, whole.len());
    assert!(gather(&rig, &into)[..whole.len()] == whole[..]);
}

#[test]
fn zp_o04_offsets_skip_the_header_bytes() {
    let mut rig = Rig::new(64);
    let data = text(30_000, 2);
    let mut random = Random(4);
    let body = judge_encode(Container::Gzip, &data, 6);
    let file = [Container::Gzip.header(), &body].concat();
    for longest in [3, 20_000] {
        let (from, into) = (cut(&mut rig, file.len(), &mut random, longest), cut(&mut rig, data.len() + 10, &mut random, 900));
        scatter(&mut rig, &from, &file);
        let per_list = 255.min(from.len().max(into.len()));
        let (source, destination) = (chain(&mut rig, &from, per_list), chain(&mut rig, &into, per_list));
        let request = Request {
            source_offset: 10,
            destination_offset: 7,
            ..with_lists(Container::Gzip, source, body.len(), destination, data.len())
        };
        let completion = rig.run(request, Direction::Decompress);
        assert_eq!((completion.status, completion.consumed as usize), (Status::SUCCESS, body.len()));
        assert!(gather(&rig, &into)[7..7 + data.len()] == data[..]);
    }
}

#[test]
fn zp_o04_a_list_shorter_than_the_room_is_the_room() {
    let mut rig = Rig::new(2);
    let data = text(10_000, 3);
    let body = judge_encode(Container::Zlib, &data, 6);
    let at = rig.room(4000);
    let (source_at, source_entries) = (rig.put(&body), body.len() as u32);
    let source = chain(&mut rig, &[SglEntry { address: source_at, len_bytes: source_entries }], 1);
    let destination = chain(&mut rig, &[SglEntry { address: at, len_bytes: 4000 }], 4);
    let completion = rig.run(with_lists(Container::Zlib, source, body.len(), destination, 10_000), Direction::Decompress);
    assert_eq!((completion.status, completion.produced), (Status::DESTINATION_TOO_SMALL, 4000));
    assert!(rig.peek(at, 4000) == data[..4000] && rig.guard_is_intact(at, 4000));
}

#[test]
fn zp_o05_malformed_lists_are_refused() {
    let good = |rig: &mut Rig| SglEntry { address: rig.room(64), len_bytes: 64 };
    type Spoil = fn(&mut SglHeader, &mut SglEntry, &mut Iova);
    let spoils: [(&str, Spoil); 8] = [
        ("zero length", |_, entry, _| entry.len_bytes = 0),
        ("entry over 8 MiB", |_, entry, _| entry.len_bytes = (8 << 20) + 1),
        ("entry crosses 2^64", |_, entry, _| entry.address = Iova(u64::MAX - 10)),
        ("more than 255 entries", |header, _, _| (header.entry_sum_in_sgl, header.entry_length_in_sgl) = (256, 256)),
        ("more than its capacity", |header, _, _| header.entry_length_in_sgl = 0),
        ("list not aligned", |_, _, at| at.0 += 32),
        ("next not aligned", |header, _, _| (header.next, header.entry_sum_in_sgl) = (Iova(BASE + 8), 0)),
        ("empty", |header, _, _| header.entry_sum_in_sgl = 0),
    ];
    for (name, spoil) in spoils {
        for is_source in [true, false] {
            let mut rig = Rig::new(1);
            let data = text(64, 1);
            let plain = good(&mut rig);
            rig.poke(plain.address, &data);
            let sound = chain(&mut rig, &[plain], 1);
            let mut entry = good(&mut rig);
            let mut at = rig.aligned(64 + 32, 64);
            let place = at;
            let mut header = SglHeader { next: Iova(0), entry_sum_in_chain: 1, entry_sum_in_sgl: 1, entry_length_in_sgl: 1 };
            spoil(&mut header, &mut entry, &mut at);
            rig.poke(place, &header.to_bytes());
            rig.poke(Iova(place.0 + 64), &entry.to_bytes());
            let request =
                if is_source { with_lists(Container::Zlib, at, 64, sound, 64) } else { with_lists(Container::Zlib, sound, 64, at, 4096) };
            let completion = rig.run(request, Direction::Compress);
            let expected = match (is_source, name) {
                (true, _) => Status::BAD_SOURCE_SGL,
                // A list without entries gives no room; that breaks no rule.
                (false, "empty") => Status::DESTINATION_TOO_SMALL,
                (false, _) => Status::BAD_DESTINATION_SGL,
            };
            assert_eq!((completion.status, completion.produced), (expected, 0), "{name}, source: {is_source}");
        }
    }
}

#[test]
fn zp_o05_a_chain_that_loops_ends() {
    let mut rig = Rig::new(1);
    let at = rig.aligned(64, 64);
    let header = SglHeader { next: at, entry_sum_in_chain: 0, entry_sum_in_sgl: 0, entry_length_in_sgl: 0 };
    rig.poke(at, &header.to_bytes());
    let completion = rig.run(with_lists(Container::Gzip, at, 64, at, 64), Direction::Compress);
    assert_eq!(completion.status, Status::BAD_SOURCE_SGL);
    assert_eq!(rig.port.accesses, 256, "each of at most 256 lists is read once");
}

#[test]
fn zp_o05_a_source_list_shorter_than_the_input_is_refused() {
    let mut rig = Rig::new(1);
    let data = text(64, 1);
    let entry = SglEntry { address: rig.put(&data), len_bytes: 64 };
    let source = chain(&mut rig, &[entry], 1);
    let into = SglEntry { address: rig.room(512), len_bytes: 512 };
    let destination = chain(&mut rig, &[into], 1);
    let completion = rig.run(with_lists(Container::Gzip, source, 65, destination, 512), Direction::Compress);
    assert_eq!(completion.status, Status::BAD_SOURCE_SGL);
}

#[test]
fn zp_o06_a_read_only_destination_is_a_fault() {
    let mut rig = Rig::new(1);
    let data = text(3000, 1);
    let (source, destination) = (rig.put(&data), rig.room(4096));
    rig.port.set_pages(destination, 4096, Some(PageState::ReadOnly));
    let completion = rig.run(flat(Container::Zlib, source, 3000, destination, 4096), Direction::Compress);
    assert_eq!((completion.status, completion.produced), (Status::DESTINATION_ABORT, 0));
}

#[test]
fn zp_o06_source_and_destination_may_be_one_buffer() {
    // Input is staged before output is written; within one stage the two may overlap.
    let mut rig = Rig::new(1);
    let data = text(20_000, 8);
    let at = rig.put(&data);
    let completion = rig.run(flat(Container::Zlib, at, 20_000, at, 20_000), Direction::Compress);
    let body = rig.peek(at, completion.produced as usize);
    assert!(judge_decode(Container::Zlib, &body, 20_000) == Some(data));
}

/// Whatever goes wrong, dw1 bytes are in memory and right, dw0 bytes have been taken, and nothing lies behind.
#[test]
fn zp_o03_consumed_and_produced_are_true_on_every_failure() {
    let data = text(100_000, 7);
    let mut rig = Rig::new(4);
    for container in FORMATS {
        let body = judge_encode(container, &data, 6);
        let mut check = |what: &str, body: &[u8], room: usize, statuses: &[Status]| {
            let (completion, produced) = rig.one_shot(container, Direction::Decompress, body, room);
            assert!(statuses.contains(&completion.status), "{what}: {:?}", completion.status);
            assert!(completion.consumed as usize <= body.len() && data.starts_with(&produced), "{what}");
            (completion.consumed as usize, produced.len())
        };
        for room in [1, 100, 65_536, 99_999] {
            let (consumed, produced) = check("too small", &body, room, &[Status::DESTINATION_TOO_SMALL]);
            assert!(produced == room && consumed <= body.len());
        }
        for len in [1, 50, body.len() / 2, body.len() - 1] {
            let (consumed, produced) = check("truncated", &body[..len], 100_000, &[Status::TRUNCATED]);
            assert_eq!(consumed, len);
            assert!(len < 200 || produced > 0);
        }
        // A block type that does not exist, behind what was stored: the fault is where it stands, and what was in front is there.
        let front = [&[0, 100, 0, !100, 0xff][..], &data[..100]].concat();
        let (consumed, produced) = check("bad block type", &[&front[..], &[6, 0, 0]].concat(), 1000, &[Status::BAD_BLOCK_TYPE]);
        assert_eq!((consumed, produced), (105, 100));
        // One stream, and then a wrong check: all data is there, the fault in the trailer.
        if container != Container::Raw {
            let mut wrong = body.clone();
            let at = body.len() - container.trailer_bytes();
            wrong[at] ^= 1;
            let (consumed, produced) = check("wrong check", &wrong, 100_000, &[Status::CHECKSUM_MISMATCH]);
            assert!((at..body.len()).contains(&consumed) && produced == data.len());
        }
    }
    // On compression: the output is a prefix of the whole one.
    let (whole, packed) = rig.one_shot(Container::Gzip, Direction::Compress, &data, 200_000);
    for room in [1, 1000, packed.len() - 1] {
        let (completion, produced) = rig.one_shot(Container::Gzip, Direction::Compress, &data, room);
        assert_eq!((completion.status, completion.produced as usize), (Status::DESTINATION_TOO_SMALL, room));
        assert!(completion.consumed <= whole.consumed && packed.starts_with(&produced));
    }
}
