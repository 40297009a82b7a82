//! Names of objects that are made from other texts. They are valid and stable, and different texts give different
//! names.

use sha2::{Digest, Sha256};

/// The longest name of an object, which is a DNS subdomain.
pub const NAME_MAX: usize = 253;
/// The bytes of a digest in a name. Among 10,000 texts, two share a digest with a probability of 1 in 5.6 million.
const DIGEST_BYTES: usize = 6;

/// A few characters that differ between different texts.
pub fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(DIGEST_BYTES)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// At most the first `max` bytes of a text, in whole characters.
pub fn cut_to(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_pinned_for_names_must_stay() {
        // printf %s analytics | sha256sum
        assert_eq!(digest("analytics"), "65f98121a162");
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!((cut_to("größe", 3), cut_to("größe", 4), cut_to("größe", 99)), ("gr", "grö", "größe"));
    }
}
