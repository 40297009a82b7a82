//! The hash from a key to its slot.

use std::fmt;

/// One of the parts that the ring divides all keys into: a number from 0 to the ring's number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of slots of a ring if nobody asks for another number. Of n members the fullest has at most (n - 1) /
/// slots more than the mean: 3.7 % with 20 members.
pub const SLOTS_DEFAULT: u16 = 512;
/// The largest number of slots of a ring.
pub const SLOTS_MAX: u16 = 4096;

/// The name of the hash function. It is written into the ring, and replicas that know another one stay out.
pub const HASH: &str = "fnv1a-64";

// FNV-1a of 64 bits, from its authors' page.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The slot of a key. All releases must agree on it for ever, so the tests fix its values.
pub fn slot_of(namespace: &str, name: &str, slots: u16) -> Slot {
    let bytes = namespace.bytes().chain([b'/']).chain(name.bytes());
    let hash = bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let slot = hash.checked_rem(u64::from(slots)).unwrap_or_default();
    // The value is less than `slots`, which is a u16.
    Slot(u16::try_from(slot).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        // Computed by another implementation, in Python.
        for (namespace, name, of_256, of_1000) in PINNED {
            assert_eq!(slot_of(namespace, name, 256), Slot(of_256), "{namespace}/{name}");
            assert_eq!(slot_of(namespace, name, 1000), Slot(of_1000), "{namespace}/{name}");
        }
    }

    const PINNED: [(&str, &str, u16, u16); 6] = [
        ("", "", 254, 758),
        ("default", "ec2.analytics", 37, 581),
        ("team-a", "ec2.analytics", 221, 221),
        ("team-a", "rds.orders", 53, 85),
        ("a", "b/c", 235, 963),
        ("default", "größe", 148, 892),
    ];

    #[test]
    fn keys_spread_over_all_slots() {
        let mut counts = [0_u32; 256];
        for key in 0..25_600 {
            counts[usize::from(slot_of("team", &format!("ec2.group-{key}"), 256).0)] += 1;
        }
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*min > 50 && *max < 150, "{min} {max}");
    }

    #[test]
    fn a_slot_is_written_as_its_number() {
        assert_eq!(Slot(42).to_string(), "42");
    }

    #[test]
    fn every_key_has_a_slot_even_of_an_impossible_ring() {
        assert_eq!(slot_of("", "", 0), Slot(0));
        assert_eq!(slot_of("a", "b", 1), Slot(0));
        assert!(slot_of("a", "b", u16::MAX).0 < u16::MAX);
    }
}
