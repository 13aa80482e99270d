//! ZLIB (RFC 1950) and DEFLATE (RFC 1951), read within a limit: status lists are compressed so, and a
//! list that grows beyond its limit is none, however small it came.
//!
//! A bit at a time: a list is unpacked once in its life and has a few kilobytes, and here it is bytes
//! of the program that count.

/// Unpacks `bytes`; `None` where they are no ZLIB stream, where its checksum is wrong, where something
/// follows it, or where it holds more than `most` bytes.
pub(super) fn zlib(bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let (body, sum) = rest.split_last_chunk::<4>()?;
    // RFC 1950 §2.2: the method is DEFLATE, no dictionary was set, and the check bits are right.
    let [method, flags] = *head;
    if method & 0x0f != 8 || flags & 0x20 != 0 || u16::from_be_bytes(*head) % 31 != 0 {
        return None;
    }
    let mut input = Bits { bytes: body, at: 0 };
    let mut out = Output { bytes: Vec::new(), most };
    loop {
        let last = input.take(1)? == 1;
        match input.take(2)? {
            0 => stored(&mut input, &mut out)?,
            1 => fixed(&mut input, &mut out)?,
            2 => dynamic(&mut input, &mut out)?,
            _ => return None,
        }
        if last {
            break;
        }
    }
    let whole = input.aligned() == body.len();
    (whole && adler32(&out.bytes) == u32::from_be_bytes(*sum)).then_some(out.bytes)
}

/// What was unpacked so far.
struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Output {
    fn push(&mut self, byte: u8) -> Option<()> {
        if self.bytes.len() >= self.most {
            return None;
        }
        self.bytes.push(byte);
        Some(())
    }

    /// Repeats `length` bytes that were written `distance` bytes ago.
    fn copy(&mut self, length: usize, distance: usize) -> Option<()> {
        for _ in 0..length {
            let from = self.bytes.len().checked_sub(distance)?;
            let byte = *self.bytes.get(from)?;
            self.push(byte)?;
        }
        Some(())
    }
}

/// Bits, the least significant of each byte first (RFC 1951 §3.1.1).
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit's place.
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = usize::from(*self.bytes.get(self.at / 8)?);
            let bit = byte.wrapping_shr((self.at % 8) as u32) & 1;
            value |= bit.wrapping_shl(place as u32);
            self.at = self.at.saturating_add(1);
        }
        Some(value)
    }

    /// How many bytes were begun.
    fn aligned(&self) -> usize {
        self.at.div_ceil(8)
    }
}

/// RFC 1951 §3.2.4: bytes as they are.
fn stored(input: &mut Bits<'_>, out: &mut Output) -> Option<()> {
    input.at = input.aligned().checked_mul(8)?;
    let (length, inverse) = (input.take(16)?, input.take(16)?);
    if length ^ inverse != 0xffff {
        return None;
    }
    for _ in 0..length {
        out.push(u8::try_from(input.take(8)?).ok()?)?;
    }
    Some(())
}

/// RFC 1951 §3.2.6.
fn fixed(input: &mut Bits<'_>, out: &mut Output) -> Option<()> {
    let runs = [(144, 8), (112, 9), (24, 7), (8, 8)];
    let lengths: Vec<u8> =
        runs.iter().flat_map(|(count, length)| std::iter::repeat_n(*length, *count)).collect();
    compressed(input, out, &Code::new(&lengths)?, &Code::new(&[5; 30])?)
}

/// RFC 1951 §3.2.7: the codes come first, as lengths that are themselves compressed.
fn dynamic(input: &mut Bits<'_>, out: &mut Output) -> Option<()> {
    let literals = input.take(5)?.saturating_add(257);
    let distances = input.take(5)?.saturating_add(1);
    let count = input.take(4)?.saturating_add(4);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for place in ORDER.iter().take(count) {
        *lengths.get_mut(*place)? = u8::try_from(input.take(3)?).ok()?;
    }
    let code = Code::new(&lengths)?;
    let all = literals.saturating_add(distances);
    let mut lengths = Vec::with_capacity(all);
    while lengths.len() < all {
        let symbol = code.next(input)?;
        let (length, times) = match symbol {
            0..=15 => (u8::try_from(symbol).ok()?, 1),
            16 => (*lengths.last()?, input.take(2)?.saturating_add(3)),
            17 => (0, input.take(3)?.saturating_add(3)),
            _ => (0, input.take(7)?.saturating_add(11)),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    if lengths.len() > all {
        return None;
    }
    let (literals, distances) = lengths.split_at_checked(literals)?;
    compressed(input, out, &Code::new(literals)?, &Code::new(distances)?)
}

/// RFC 1951 §3.2.5: literals, and repetitions of what came before, until the end of the block.
fn compressed(
    input: &mut Bits<'_>,
    out: &mut Output,
    literals: &Code,
    distances: &Code,
) -> Option<()> {
    loop {
        let symbol = literals.next(input)?;
        match u8::try_from(symbol) {
            Ok(byte) => out.push(byte)?,
            Err(_) if symbol == 256 => return Some(()),
            Err(_) => {
                let (base, extra) = *LENGTHS.get(symbol.checked_sub(257)?)?;
                let length = input.take(extra)?.saturating_add(base);
                let (base, extra) = *DISTANCES.get(distances.next(input)?)?;
                let distance = input.take(extra)?.saturating_add(base);
                out.copy(length, distance)?;
            }
        }
    }
}

/// A canonical prefix code (RFC 1951 §3.2.2).
struct Code {
    /// How many symbols have codes of each length.
    counts: [usize; 16],
    /// The symbols in the order of their codes.
    symbols: Vec<usize>,
}

impl Code {
    /// The code of symbols with codes of these lengths; `None` where there are more than fit.
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0_usize; 16];
        let mut symbols = Vec::with_capacity(lengths.len());
        for length in 1..16 {
            let of_length =
                lengths.iter().enumerate().filter(|(_, own)| usize::from(**own) == length);
            let before = symbols.len();
            symbols.extend(of_length.map(|(symbol, _)| symbol));
            *counts.get_mut(length)? = symbols.len().saturating_sub(before);
        }
        let mut left = 1_usize;
        for count in counts.iter().skip(1) {
            left = left.saturating_mul(2).checked_sub(*count)?;
        }
        Some(Self { counts, symbols })
    }

    /// The next symbol; `None` at a code that stands for none.
    fn next(&self, input: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0_usize, 0_usize, 0_usize);
        for count in self.counts.iter().skip(1) {
            code |= input.take(1)?;
            let offset = code.checked_sub(first)?;
            if offset < *count {
                return self.symbols.get(index.saturating_add(offset)).copied();
            }
            index = index.saturating_add(*count);
            first = first.saturating_add(*count).saturating_mul(2);
            code = code.saturating_mul(2);
        }
        None
    }
}

/// RFC 1950 §9.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = low.wrapping_add(u32::from(*byte)) % 65_521;
        high = high.wrapping_add(low) % 65_521;
    }
    high.wrapping_shl(16) | low
}

/// The order in which the lengths of the code for lengths come.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What each symbol from 257 on repeats at the least, and how many bits say how much more.
const LENGTHS: [(usize, usize); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// How far back each symbol reaches at the least, and how many bits say how much further.
const DISTANCES: [(usize, usize); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1_025, 9),
    (1_537, 9),
    (2_049, 10),
    (3_073, 10),
    (4_097, 11),
    (6_145, 11),
    (8_193, 12),
    (12_289, 12),
    (16_385, 13),
    (24_577, 13),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::from_base64url;

    /// Streams that another implementation made (Python's `zlib`), each with what is in it.
    fn streams() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("eNoDAAAAAAE", Vec::new()),
            ("eAEBDwDw_3N0b3JlZCBhcyBpdCBpcy3tBX8", b"stored as it is".to_vec()),
            ("eAFLVMjJLC7RUUhEoQFSLwdQ", b"a list, a list, a list".to_vec()),
            (
                "eNqtVEkOxDAIg6gHjjyBp-RpPH00o3RJGxJTjQ9tFSgxZmE6UW7vGBsxZSCX7_p72sKf2z1f6CL6iO8en6FzWeYbxSfyLq_In5udw7h1ysAOuw_4xjoZoN-MN3W8BYhRL3XZBnrt91TKogT3PO2y7I8Iub7eAF08maU3fTypx71-HvLSyX828Jvpbok6KmhXuD5C_wIH-hqQhx5-AtTLb3Ec2IMUzNGYv77I36Z76M08VWCvyUSHmpwjf_DTrr892G94PymkIzK30ulewLyQc07W_QPzEw7y",
                marked(),
            ),
        ]
    }

    /// A list of 16,384 bits with a few that are set.
    fn marked() -> Vec<u8> {
        let mut bytes = vec![0; 2_048];
        for i in 0..120_usize {
            let place = i.wrapping_mul(i).wrapping_mul(7).wrapping_add(i.wrapping_mul(13));
            bytes[place % 2_048] |= 1 << (i % 8);
        }
        bytes
    }

    #[test]
    fn unpacks_what_others_packed() {
        for (packed, expected) in streams() {
            let packed = from_base64url(packed).unwrap();
            assert_eq!(zlib(&packed, expected.len()).as_deref(), Some(&*expected), "{packed:?}");
        }
    }

    #[test]
    fn a_stream_is_read_within_its_limit_and_whole_or_not_at_all() {
        for (packed, expected) in streams() {
            let packed = from_base64url(packed).unwrap();
            if let Some(less) = expected.len().checked_sub(1) {
                assert_eq!(zlib(&packed, less), None, "one byte past the limit");
            }
            for cut in 0..packed.len() {
                assert_eq!(zlib(&packed[..cut], expected.len()), None, "cut at {cut}");
            }
            for place in 0..packed.len() {
                for bit in 0..8 {
                    let mut spoilt = packed.clone();
                    spoilt[place] ^= 1 << bit;
                    let read = zlib(&spoilt, expected.len());
                    // The level of compression, which three bits of the head tell, is nobody's concern;
                    // and no bit of them can change alone, because of the check bits.
                    assert!(read.is_none_or(|read| read == expected), "bit {bit} of byte {place}");
                }
            }
            let longer = [&packed[..], &[0]].concat();
            assert_eq!(zlib(&longer, expected.len()), None, "something follows");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        // A megabyte of zeros in a kilobyte.
        let packed = from_base64url(BOMB).unwrap();
        assert_eq!(zlib(&packed, 1 << 20).map(|zeros| zeros.len()), Some(1 << 20));
        assert_eq!(zlib(&packed, (1 << 20) - 1), None);
    }

    const BOMB: &str = "eNrtwTEBAAAAwqD1T20IX6AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD4DAPAAAQ";
}
