//! The form of a status list (draft-ietf-oauth-status-list §4): bits in bytes, the lowest first, in zlib's
//! form (RFC 1950) of DEFLATE (RFC 1951).
//!
//! A list is long and nearly all of it is one bit: so what is compressed is runs of equal bytes, and
//! nothing else. Whatever inflates reads it.

use crate::encoding::base64url;
use crate::limits;

/// The member `lst` of a list with one bit an entry: those of `indices` are set, or all.
#[must_use]
pub fn lst(indices: impl Iterator<Item = u32>, all: bool) -> String {
    let bytes = usize::try_from(limits::STATUS_BITS.div_ceil(8)).unwrap_or_default();
    let mut bits = vec![if all { u8::MAX } else { 0 }; bytes];
    set(&mut bits, indices);
    base64url(&zlib(&bits))
}

/// Sets bits, the lowest of each byte first (draft §4.1). What is beyond the list is left out.
fn set(bits: &mut [u8], indices: impl Iterator<Item = u32>) {
    for index in indices {
        let place = usize::try_from(index.div_euclid(8)).unwrap_or(usize::MAX);
        if let Some(byte) = bits.get_mut(place) {
            *byte |= 1_u8.wrapping_shl(index.rem_euclid(8));
        }
    }
}

/// Compresses runs of equal bytes: one block with the fixed codes (RFC 1951 §3.2.6).
#[must_use]
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    // RFC 1950 §2.2: DEFLATE with a window of 32 KiB, no dictionary.
    let mut out = Output { bytes: vec![0x78, 0x01], ..Output::default() };
    // The last block, with the fixed codes.
    out.bits(0b011, 3);
    for run in bytes.chunk_by(|one, next| one == next) {
        let byte = run.first().copied().unwrap_or_default();
        out.symbol(byte.into());
        let mut left = u32::try_from(run.len()).unwrap_or(u32::MAX).saturating_sub(1);
        while left >= 3 {
            let length = left.min(258);
            out.repeat(length);
            left = left.saturating_sub(length);
        }
        (0..left).for_each(|_| out.symbol(byte.into()));
    }
    out.symbol(256);
    out.bits(0, 7);
    out.bytes.extend(adler(bytes).to_be_bytes());
    out.bytes
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet, and how many.
    waiting: u32,
    count: u32,
}

impl Output {
    /// Writes the lowest `count` bits of `value`, the lowest first; at most 16 at once.
    fn bits(&mut self, value: u32, count: u32) {
        self.waiting |= value.wrapping_shl(self.count);
        self.count = self.count.saturating_add(count);
        while self.count >= 8 {
            let [byte, ..] = self.waiting.to_le_bytes();
            self.bytes.push(byte);
            self.waiting = self.waiting.wrapping_shr(8);
            self.count = self.count.saturating_sub(8);
        }
    }

    /// Writes the code of a literal or length symbol. Codes go highest bit first.
    fn symbol(&mut self, symbol: u32) {
        let (code, count) = match symbol {
            0..=143 => (symbol.saturating_add(0x30), 8),
            144..=255 => (symbol.saturating_add(0x190 - 144), 9),
            256..=279 => (symbol.saturating_sub(256), 7),
            _ => (symbol.saturating_sub(280 - 0xc0), 8),
        };
        self.bits(code.reverse_bits().wrapping_shr(32_u32.saturating_sub(count)), count);
    }

    /// Writes the byte before it another 3 to 258 times (RFC 1951 §3.2.5).
    fn repeat(&mut self, length: u32) {
        let rest = length.saturating_sub(3);
        if length == 258 {
            self.symbol(285);
        } else {
            let extra = rest.max(4).ilog2().saturating_sub(2);
            let high = rest.wrapping_shr(extra);
            self.symbol(extra.saturating_mul(4).saturating_add(high).saturating_add(257));
            self.bits(rest ^ high.wrapping_shl(extra), extra);
        }
        // At distance 1.
        self.bits(0, 5);
    }
}

/// RFC 1950 §8.2.
fn adler(bytes: &[u8]) -> u32 {
    let (mut one, mut two) = (1_u32, 0_u32);
    // So many bytes do not overflow the sums.
    for chunk in bytes.chunks(4_096) {
        for byte in chunk {
            one = one.wrapping_add(u32::from(*byte));
            two = two.wrapping_add(one);
        }
        one = one.rem_euclid(65_521);
        two = two.rem_euclid(65_521);
    }
    two.wrapping_shl(16) | one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::hex;

    /// The draft's own example of bits in bytes (§4.1).
    #[test]
    fn bits_lie_as_in_the_draft() {
        let mut bits = vec![0; 2];
        set(&mut bits, [0, 3, 4, 5, 7, 8, 9, 13, 15].into_iter());
        assert_eq!(hex(&bits), "b9a3");
        // What is beyond the list is left out.
        set(&mut bits, [16, u32::MAX].into_iter());
        assert_eq!(hex(&bits), "b9a3");
    }

    /// Each was inflated by Python's `zlib` when it was written down; `tests/tests/status.rs` inflates
    /// whole lists.
    #[test]
    fn the_form_is_zlibs() {
        for (bytes, form) in [
            (&b""[..], "7801030000000001"),
            (b"\xb9\xa3", "7801dbb918000217015d"),
            (b"aaaabaaab", "78014b0482a4c4c4c42400111c036c"),
            (&[0; 600], "7801631805a38006000002580001"),
            (&[255; 140], "7801fb3f8800006a388b75"),
        ] {
            assert_eq!(hex(&zlib(bytes)), form, "{bytes:?}");
        }
        assert_eq!(adler(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_list_is_short_where_it_says_little() {
        let empty = lst(std::iter::empty(), false);
        let full = lst(std::iter::empty(), true);
        assert_eq!((empty.len(), full.len()), (1_115, 1_115));
        let some = lst((0..10).map(|number| number * 100_000), false);
        assert!(some.len() < 1_200, "{}", some.len());
    }
}
