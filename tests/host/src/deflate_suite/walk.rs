//! A third decoder, bit by bit from the text of RFC 1951, that also tells the longest distance. Good streams only.

/// Reads bits, lowest first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        (0..count).fold(0, |value, i| {
            let bit = usize::from(self.bytes[self.at / 8] >> (self.at % 8) & 1);
            self.at += 1;
            value | bit << i
        })
    }

    /// Reads one codeword of the canonical code (section 3.2.2).
    fn symbol(&mut self, lengths: &[usize]) -> usize {
        let (mut code, mut first) = (0, 0);
        for len in 1..=15 {
            code = code << 1 | self.take(1);
            let here: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] == len).collect();
            first <<= 1;
            if code - first < here.len() {
                return here[code - first];
            }
            first += here.len();
        }
        panic!("no codeword");
    }
}

/// Extra bits and base of section 3.2.5: `group` symbols share a number of extra bits.
fn expand(bits: &mut Bits<'_>, symbol: usize, group: usize, first: usize) -> usize {
    if symbol < 2 * group {
        return first + symbol;
    }
    let extra = symbol / group - 1;
    first + ((group + symbol % group) << extra) + bits.take(extra)
}

/// Returns the output of a raw stream and its longest distance.
pub(super) fn decode(stream: &[u8]) -> (Vec<u8>, usize) {
    let mut bits = Bits { bytes: stream, at: 0 };
    let mut output = Vec::new();
    let mut longest = 0;
    loop {
        let last = bits.take(1) == 1;
        let (litlen, distances) = match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let len = bits.take(16);
                assert_eq!(bits.take(16), len ^ 0xffff);
                let at = bits.at / 8;
                output.extend_from_slice(&stream[at..at + len]);
                bits.at += 8 * len;
                (Vec::new(), Vec::new())
            }
            1 => ([vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat(), vec![5; 32]),
            _ => {
                let (hlit, hdist, hclen) = (257 + bits.take(5), 1 + bits.take(5), 4 + bits.take(4));
                let mut precode = [0; 19];
                for &symbol in &[16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15][..hclen] {
                    precode[symbol] = bits.take(3);
                }
                let mut lengths: Vec<usize> = Vec::new();
                while lengths.len() < hlit + hdist {
                    let (value, times) = match bits.symbol(&precode) {
                        16 => (*lengths.last().unwrap(), 3 + bits.take(2)),
                        17 => (0, 3 + bits.take(3)),
                        18 => (0, 11 + bits.take(7)),
                        length => (length, 1),
                    };
                    lengths.extend(std::iter::repeat_n(value, times));
                }
                assert_eq!(lengths.len(), hlit + hdist);
                let distances = lengths.split_off(hlit);
                (lengths, distances)
            }
        };
        while !litlen.is_empty() {
            match bits.symbol(&litlen) {
                256 => break,
                literal @ 0..256 => output.push(literal as u8),
                285 => copy(&mut output, &mut bits, 258, &distances, &mut longest),
                symbol => {
                    let length = expand(&mut bits, symbol - 257, 4, 3);
                    copy(&mut output, &mut bits, length, &distances, &mut longest);
                }
            }
        }
        if last {
            return (output, longest);
        }
    }
}

fn copy(output: &mut Vec<u8>, bits: &mut Bits<'_>, length: usize, distances: &[usize], longest: &mut usize) {
    let symbol = bits.symbol(distances);
    let distance = expand(bits, symbol, 2, 1);
    *longest = distance.max(*longest);
    for _ in 0..length {
        output.push(output[output.len() - distance]);
    }
}
