//! Rules for texts in a spec.

use crate::spec::InvalidSpec;

/// The longest name of a user. It becomes the value of an EC2 tag, which has at most 256 characters (EC2's "Tag
/// restrictions").
pub const USER_MAX_CHARS: usize = 256;

/// Checks a text: it must exist, must not be empty, may have at most `max` characters, and must not have control
/// characters.
///
/// # Errors
/// [`InvalidSpec`] names the field and the rule.
pub fn plain_text<'a>(
    field: &'static str,
    text: Option<&'a str>,
    max: usize,
) -> Result<&'a str, InvalidSpec> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Err(InvalidSpec::new(field, "is missing or empty"));
    }
    if text.chars().count() > max {
        return Err(InvalidSpec::new(field, format!("is longer than {max} characters")));
    }
    if text.chars().any(is_forbidden) {
        let problem = format!("{:?} holds control characters or marks that reorder text", cut(text));
        return Err(InvalidSpec::new(field, problem));
    }
    Ok(text)
}

/// Checks the name of a user: a plain text without characters that make it look like another name.
///
/// # Errors
/// [`InvalidSpec`] names the field and the rule.
pub fn user_name<'a>(field: &'static str, text: Option<&'a str>) -> Result<&'a str, InvalidSpec> {
    let name = plain_text(field, text, USER_MAX_CHARS)?;
    if name.chars().any(is_unseen) || name.chars().all(char::is_whitespace) {
        let problem = format!("{:?} is blank, or holds characters that are not seen", cut(name));
        return Err(InvalidSpec::new(field, problem));
    }
    Ok(name)
}

/// The characters that admission's `USER_PATTERN` refuses in addition. Characters that join letters are allowed,
/// because names in some languages need them.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{00AD}' | '\u{200B}' | '\u{FEFF}' | '\u{2060}'..='\u{2064}')
}

/// The characters that admission's `PLAIN_TEXT_PATTERN` refuses.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{061C}' | '\u{200E}' | '\u{200F}')
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The start of a user's text, which is short enough for a message.
pub fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
