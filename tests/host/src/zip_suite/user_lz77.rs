//! The user library's calls for literals and sequences and for LZ4 blocks, over the engine's model.

use super::rig::{Random, text};
use super::user_device::*;
use super::zstd_frame::{self, Block};
use uacce_user::{CompletionWait, Lz77Format, Lz77Level, WdError, ZipError, ZipQueue, lz4_block, lz77_one_shot};
use zip_spec::{Capabilities, Sequence, Status, Window};

const WAIT: CompletionWait = CompletionWait { spins: 4, timeout_nanoseconds: 0 };

#[test]
fn lz77_calls_give_what_an_encoder_takes() {
    let mock = Mock::zip(Capabilities::V5);
    let noise = Random(2).bytes(70_000);
    for input in [text(100_000, 1), [&noise[..], &noise[50_000..60_000], &text(900, 2)].concat(), vec![0; 128 << 10]] {
        mock.register(&input);
        for format in [Lz77Format::Zstd, Lz77Format::Only] {
            let mut queue = ZipQueue::request_lz77(&mock, format, WAIT).unwrap();
            for level in [Lz77Level::Plain, Lz77Level::Price] {
                let mut literals = vec![0; format.literals_room(input.len())];
                let mut sequences = vec![0; format.sequences_room(input.len())];
                let found = lz77_one_shot(&mut queue, format, level, Window::K32, &input, &mut literals, &mut sequences).unwrap();
                // The mock's memory is a copy: what the engine wrote is fetched afterwards.
                let (count, length, long) = (found.sequences().count(), found.literals.len(), found.long_literals);
                assert_eq!(found.frequencies.len(), if format == Lz77Format::Zstd { 784 } else { 0 });
                let written = mock.written();
                for (buffer, data) in [(&mut literals, &written), (&mut sequences, &written)] {
                    copy_into(buffer, data);
                }
                let records: Vec<(u32, Sequence)> = sequences[..8 * count]
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .enumerate()
                    .map(|(number, bytes)| {
                        let sequence = Sequence::from_bytes(bytes);
                        (u32::from(sequence.literal_length) + if long == Some(number as u32) { 65_536 } else { 0 }, sequence)
                    })
                    .collect();
                if format == Lz77Format::Zstd {
                    let frame = zstd_frame::frame(&[Block::Sequences { literals: &literals[..length], sequences: &records }]);
                    assert!(zstd_frame::decode(&frame) == input);
                } else {
                    let matched: usize = records.iter().map(|(_, s)| usize::from(s.match_length)).sum();
                    assert_eq!(length + matched, input.len());
                }
            }
        }
    }
}

#[test]
fn lz4_call_gives_a_block() {
    let mock = Mock::zip(Capabilities::V5);
    let mut queue = ZipQueue::request_lz4(&mock, WAIT).unwrap();
    for input in [text(50_000, 3), Random(4).bytes(5000), vec![1; 20]] {
        mock.register(&input);
        let mut output = vec![0; deflate::lz4::bound(input.len() as u64) as usize];
        let len = lz4_block(&mut queue, Window::K16, &input, &mut output).unwrap();
        mock.fetch(&mut output);
        assert!(lz4_flex::block::decompress(&output[..len], input.len()).unwrap() == input);
        let error = lz4_block(&mut queue, Window::K16, &input, &mut output[..len - 1]);
        assert!(matches!(error, Err(ZipError::Data { status: Status::DESTINATION_TOO_SMALL, .. })), "{error:?}");
        mock.written();
    }
    let mut one = [9; 4];
    assert_eq!(lz4_block(&mut queue, Window::K32, &[], &mut one), Ok(1));
    assert_eq!(lz4_flex::block::decompress(&one[..1], 0).unwrap(), []);
    assert_eq!(lz4_block(&mut queue, Window::K32, &[], &mut []), Err(ZipError::OutputTooSmall { needed: 1 }));
    let long = vec![0; (8 << 20) + 1];
    assert_eq!(lz4_block(&mut queue, Window::K32, &long, &mut one), Err(ZipError::InputTooLong));
}

#[test]
fn lz77_calls_refuse_what_cannot_work() {
    let mock = Mock::zip(Capabilities::V3);
    assert_eq!(ZipQueue::request_lz4(&mock, WAIT).err(), Some(WdError::NoDevice));
    assert_eq!(ZipQueue::request_lz77(&mock, Lz77Format::Only, WAIT).err(), Some(WdError::NoDevice));
    let mut queue = ZipQueue::request_lz77(&mock, Lz77Format::Zstd, WAIT).unwrap();
    let (mut literals, mut sequences) = (vec![0; 200_000], vec![0; 100_000]);
    let mut run = |input: &[u8], literal_room: usize, sequence_room: usize| {
        let (literals, sequences) = (&mut literals[..literal_room], &mut sequences[..sequence_room]);
        lz77_one_shot(&mut queue, Lz77Format::Zstd, Lz77Level::Plain, Window::K32, input, literals, sequences).err()
    };
    let input = text(131_073, 1);
    mock.register(&input);
    assert_eq!(run(&input, 200_000, 100_000), Some(ZipError::InputTooLong));
    assert_eq!(run(&input[..1000], 1015, 9000), Some(ZipError::OutputTooSmall { needed: 1016 }));
    assert!(matches!(run(&input[..1000], 1016, 800), Some(ZipError::Data { status: Status::DESTINATION_TOO_SMALL, .. })));
    assert!(matches!(run(&[], 16, 800), Some(ZipError::Data { status: Status::BAD_INPUT_LENGTH, .. })));
    assert_eq!(run(&input[..1000], 1016, 9000), None);
}
