//! The one form of a published copy, on every target that publishes: `tag || bytes`.
//!
//! The place where copies lie is often open to more people than the store is, and a key set among them
//! says whose signature counts. So each copy bears an HMAC-SHA-256 (RFC 2104) under a key that is derived from
//! the wrapping key, over its zone, its name and its bytes. A copy without the right tag is none: whoever
//! asks goes to the origin. The tag says who wrote the copy and not when: what is inside is immutable, or
//! says its own age.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::limits;

/// What copies are sealed with. Its `Debug` prints nothing of it.
#[derive(Clone)]
pub struct CopyKey(Hmac<Sha256>);

impl CopyKey {
    /// Derives the key from the wrapping key. Nothing about the wrapping key follows from it.
    #[must_use]
    pub fn new(wrapping: &[u8; crate::sealed::KEY_BYTES]) -> Self {
        let derived = keyed(wrapping).chain_update(LABEL).finalize().into_bytes();
        Self(keyed(&derived.into()))
    }

    /// The copy of `bytes` that is published under `name`.
    #[must_use]
    pub fn seal(&self, zone: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
        let tag = self.tag(zone, name, bytes).finalize().into_bytes();
        [tag.as_slice(), bytes].concat()
    }

    /// The bytes of a copy that was found under `name`; `None` where it is not one of ours for just
    /// that name. Takes the same time wherever the tag differs.
    #[must_use]
    pub fn open(&self, zone: &str, name: &str, mut copy: Vec<u8>) -> Option<Vec<u8>> {
        if copy.len() > limits::COPY_BYTES {
            return None;
        }
        let (tag, bytes) = copy.split_first_chunk::<TAG_BYTES>()?;
        self.tag(zone, name, bytes).verify(tag.into()).ok()?;
        copy.drain(..TAG_BYTES);
        Some(copy)
    }

    /// Each part is preceded by its length, so no two copies share an input.
    fn tag(&self, zone: &str, name: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut tag = self.0.clone();
        for part in [zone.as_bytes(), name.as_bytes(), bytes] {
            tag.update(&(part.len() as u64).to_be_bytes());
            tag.update(part);
        }
        tag
    }
}

impl std::fmt::Debug for CopyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CopyKey(…)")
    }
}

/// A key of 32 bytes is shorter than a block, so it only has to be filled up with zeros (RFC 2104 §2).
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    hmac::digest::KeyInit::new(&block)
}

/// Bytes of a tag.
pub const TAG_BYTES: usize = 32;
/// What tells this key from every other one that may be derived from the wrapping key.
const LABEL: &[u8] = b"writ\0copies\x001";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x13_a_copy_opens_under_its_own_name_and_no_other() {
        let key = CopyKey::new(&[7; 32]);
        for bytes in [b"".as_slice(), b"a key set", &[0; 1_000]] {
            let sealed = key.seal("one", "keys/a", bytes);
            assert_eq!(sealed.len(), bytes.len() + TAG_BYTES);
            assert_eq!(key.open("one", "keys/a", sealed.clone()), Some(bytes.to_vec()));
            for (zone, name) in [("two", "keys/a"), ("one", "keys/b"), ("onek", "eys/a")] {
                assert_eq!(key.open(zone, name, sealed.clone()), None, "{zone} {name}");
            }
            assert_eq!(CopyKey::new(&[8; 32]).open("one", "keys/a", sealed.clone()), None);
            for place in 0..sealed.len().min(64) {
                let mut altered = sealed.clone();
                altered[place] ^= 1;
                assert_eq!(key.open("one", "keys/a", altered), None, "byte {place}");
            }
            assert_eq!(key.open("one", "keys/a", [&*sealed, b"x"].concat()), None);
        }
    }

    /// What lies there from before copies were sealed, or is cut off, is no copy.
    #[test]
    fn what_is_not_sealed_is_no_copy() {
        let key = CopyKey::new(&[7; 32]);
        for bytes in [b"".as_slice(), b"{}", &[0; 31], &[0; 32], &[b' '; 100]] {
            assert_eq!(key.open("one", "keys/a", bytes.to_vec()), None);
        }
        let sealed = key.seal("one", "keys/a", b"bytes");
        assert_eq!(key.open("one", "keys/a", sealed[..36].to_vec()), None);
    }

    /// The form is the same on every target and in every version: written down once, computed with
    /// Python's `hmac`.
    #[test]
    fn the_form_stays() {
        let sealed = CopyKey::new(&[7; 32]).seal("acme", "keys/a", b"bytes");
        let tag = crate::encoding::hex(&sealed[..TAG_BYTES]);
        assert_eq!(tag, "11f47b9530d44cc0cc59bd70cb7a2a67d0a0522379edd28f3f6cda27fb2ba5b0");
    }

    #[test]
    fn debug_prints_nothing() {
        assert_eq!(format!("{:?}", CopyKey::new(&[7; 32])), "CopyKey(…)");
    }
}
