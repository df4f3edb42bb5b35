//! Any bytes as the state of a stream: import refuses them, or the output is wrong and nothing else.

use deflate::{Deflate, Flush, Framing, Inflate, Params, STATE_BYTES_MAX, Status};

use crate::data::{Random, structured};

/// The bytes seed a stream and say where its state is damaged.
pub fn body(data: &[u8]) {
    let Some((seed, damage)) = data.split_first_chunk::<8>() else { return };
    let mut random = Random(u64::from_le_bytes(*seed));
    let input = structured(&mut random, 60_000);
    if input.is_empty() {
        return;
    }
    let stop = 1 + random.below(input.len());
    inflating(&input, stop, damage, &mut random);
    deflating(&input, stop, damage, &mut random);
}

/// Flips bits of an image: three bytes of `damage` say where and which.
fn flip(image: &mut [u8], damage: &[u8]) {
    for [low, high, bits] in damage.as_chunks::<3>().0 {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % image.len().max(1);
        if let Some(byte) = image.get_mut(at) {
            *byte ^= bits;
        }
    }
}

fn inflating(input: &[u8], stop: usize, damage: &[u8], random: &mut Random) {
    let stream = crate::judges::zlib_encode(input, 1 + random.below(9) as u32);
    let mut inflate = Box::new(Inflate::new());
    inflate.reset(Framing::Raw);
    let mut output = vec![0; input.len() + 300];
    let first = inflate.step(&stream, &mut output[..stop]);
    let (mut image, mut window) = (vec![0; STATE_BYTES_MAX], vec![0; 32_768]);
    let Ok(len) = inflate.export_state(&mut image) else { return };
    let window_len = inflate.export_window(&mut window).expect("room");
    image.truncate(len);
    flip(&mut image, damage);
    let mut other = Box::new(Inflate::new());
    if other.import(&image, &window[..window_len]).is_err() {
        return;
    }
    let mut room = vec![0xa5; 70_000];
    let second = other.step(&stream[first.consumed..], &mut room);
    if damage.len() < 3 || damage.iter().skip(2).step_by(3).all(|bits| *bits == 0) {
        assert!(room[..second.produced] == input[first.produced..][..second.produced] && second.status == Status::Done);
    }
}

fn deflating(input: &[u8], stop: usize, damage: &[u8], random: &mut Random) {
    let mut deflate = Box::new(Deflate::new());
    deflate.reset(Params { final_block: deflate::FinalBlock::Empty, ..Params::new(Framing::Raw) });
    let mut stream = vec![0; 2 * input.len() + 5000];
    let room = 1 + random.below(stop);
    let first = deflate.step(&input[..stop], &mut stream[..room], Flush::Sync);
    let Ok(back) = deflate.suspend() else { panic!("a stream of this kind can always be suspended") };
    let taken = first.consumed - back;
    let (mut image, mut window) = (vec![0; STATE_BYTES_MAX], vec![0; 32_768]);
    let len = deflate.export_state(&mut image).expect("suspended");
    let window_len = deflate.export_window(&mut window).expect("room");
    image.truncate(len);
    flip(&mut image, damage);
    let mut other = Box::new(Deflate::new());
    if other.import(&image, &window[..window_len]).is_err() {
        return;
    }
    let second = other.step(&input[taken..], &mut stream[first.produced..], Flush::Finish);
    if damage.len() < 3 || damage.iter().skip(2).step_by(3).all(|bits| *bits == 0) {
        assert_eq!(second.status, Status::Done);
        let mut inflate = Box::new(Inflate::new());
        let whole = &stream[..first.produced + second.produced];
        let output = crate::round_trip::decompress(&mut inflate, whole, Framing::Raw, || usize::MAX, || usize::MAX);
        assert!(output.as_deref() == Some(input), "stopped at {stop} with {room} bytes of room");
    }
}
