//! Checks which text the cloud accepts.

use super::error::ApiError;

/// Refuses the characters that XML cannot carry.
pub(crate) fn check_text(text: &str) -> Result<(), ApiError> {
    match text.chars().find(|c| !is_xml_char(*c)) {
        Some(c) => {
            let message = format!("Tags can't contain the character U+{:04X}", u32::from(c));
            Err(ApiError::invalid_value(message))
        }
        None => Ok(()),
    }
}

/// Whether XML 1.0 can carry the character, even escaped.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}
