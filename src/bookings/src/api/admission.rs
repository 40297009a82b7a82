//! The admission rules: CEL expressions that the API server evaluates.
//!
//! Two things shape every rule here. A stored object that breaks a rule must stay editable and
//! deletable: Kubernetes forgives an unchanged field whose rule answers *false* (ratcheting), but not
//! one whose rule raises an *error*, so every conversion is guarded by a match, and every match by a
//! length: to match a stored mebibyte exceeds the cost that a rule may have, which is an error too. And
//! a rule must stand on the field or the spec, never on the root: there, a status write would evaluate
//! it anew. The exception, `spec_stays`, looks at nothing that a status write changes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use kube::core::{Message, Rule};

/// RFC 3339 as Go's `time.Parse(time.RFC3339, …)` takes it, days checked against month and leap year,
/// so that CEL's `timestamp()` cannot fail on a match (with `IN_RANGE`). RE2 syntax.
pub const INSTANT_PATTERN: &str = concat!(
    r"^([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
    r"|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
    r"|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])",
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?",
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
);

/// A date. RE2 syntax.
const DATE_PATTERN: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";

/// The instants CEL and Go can hold: an offset may not push the last day of 9999 into 10000.
/// 1970 is the floor because nothing can be booked before it.
const IN_RANGE: &str = "{} >= '1970' && ({} < '9999-12-31' || {}.endsWith('Z'))";

/// Control characters, line and paragraph separators, and marks that reorder text: none belongs in a
/// name, and CR LF in a recipient would forge mail headers. RE2 syntax.
pub const PLAIN_TEXT_PATTERN: &str =
    r"^[^\p{Cc}\p{Zl}\p{Zp}\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]+$";

/// Characters that are not seen: two names that differ in one of them look alike. RE2 syntax.
pub const USER_PATTERN: &str = r"^[^\x{00AD}\x{200B}\x{FEFF}\x{2060}-\x{2064}]*$";

/// Something that is seen. RE2 syntax.
const NOT_BLANK_PATTERN: &str = r"[^\p{Z}]";

/// Longest accepted instant: date, time, nine digits of fraction, offset.
pub const INSTANT_MAX_LENGTH: u32 = 35;

/// Longest text that is matched against a pattern; a longer one answers false. No field's `maxLength`
/// may exceed it.
pub const TEXT_MAX_LENGTH: u32 = 2048;

/// A CEL expression: `field` is at most `max` characters long and matches `pattern`. The literal is raw,
/// so that the backslashes of a pattern stay.
fn is_match(field: &str, max: u32, pattern: &str) -> String {
    format!("size({field}) <= {max} && {field}.matches(r'{pattern}')")
}

/// A CEL expression: `field` is an instant that `timestamp()` takes.
fn is_instant(field: &str) -> String {
    let matches = is_match(field, INSTANT_MAX_LENGTH, INSTANT_PATTERN);
    format!("({matches} && {})", IN_RANGE.replace("{}", field))
}

/// A CEL expression: the value is plain text.
fn is_plain_text() -> String {
    is_match("self", TEXT_MAX_LENGTH, PLAIN_TEXT_PATTERN)
}

/// The value is an RFC 3339 instant.
pub(crate) fn instant() -> Rule {
    Rule::new(is_instant("self")).message(
        "must be an RFC 3339 instant with an offset, of the years 1970 to 9999, for example 2027-03-01T08:00:00Z",
    )
}

/// The value is an RFC 3339 instant or empty.
pub(crate) fn instant_or_empty() -> Rule {
    Rule::new(format!("self == '' || {}", is_instant("self")))
        .message("must be empty or an RFC 3339 instant with an offset, for example 2027-03-01T08:00:00Z")
}

/// `end_at` is after `start_at`. Says nothing of fields that are missing or no instants: their own
/// rules do.
pub(crate) fn end_after_start() -> Rule {
    Rule::new(format!(
        "!has(self.start_at) || !has(self.end_at) || !{} || !{} || timestamp(self.end_at) > timestamp(self.start_at)",
        is_instant("self.start_at"),
        is_instant("self.end_at"),
    ))
    .message(Message::Expression("'end_at ' + self.end_at + ' must be after start_at ' + self.start_at".to_owned()))
}

/// The value is not empty and has no control characters.
pub(crate) fn plain_text() -> Rule {
    Rule::new(is_plain_text())
        .message("must not be empty, nor hold control characters or marks that reorder text")
}

/// The value is who somebody is: not blank, and nothing in it that is not seen.
pub(crate) fn user() -> Rule {
    let seen = format!("self.matches(r'{USER_PATTERN}') && self.matches(r'{NOT_BLANK_PATTERN}')");
    // What is no plain text says its own rule.
    Rule::new(format!("!({}) || ({seen})", is_plain_text()))
        .message("must not be blank, nor hold characters that are not seen")
}

/// The value is empty or has no control characters.
pub(crate) fn plain_text_or_empty() -> Rule {
    Rule::new(format!("self == '' || ({})", is_plain_text()))
        .message("must not hold control characters or marks that reorder text")
}

/// The value is one of `allowed`.
pub(crate) fn one_of(allowed: &[&str]) -> Rule {
    let list: Vec<String> = allowed.iter().map(|word| format!("'{word}'")).collect();
    Rule::new(format!("self in [{}]", list.join(", ")))
        .message(format!("must be one of: {}", allowed.join(", ")).as_str())
}

/// Every value is one of `allowed`.
pub(crate) fn each_one_of(allowed: &[&str]) -> Rule {
    let list: Vec<String> = allowed.iter().map(|word| format!("'{word}'")).collect();
    Rule::new(format!("self.all(word, word in [{}])", list.join(", ")))
        .message(format!("must be of: {}", allowed.join(", ")).as_str())
}

/// Every value is a date. Whether there is a 30 February is left to the operator.
pub(crate) fn dates() -> Rule {
    Rule::new(format!("self.all(date, {})", is_match("date", 10, DATE_PATTERN)))
        .message("must be dates such as 2027-12-25")
}

/// The value matches `pattern`, an RE2 expression.
pub(crate) fn matches(pattern: &str, message: &str) -> Rule {
    Rule::new(is_match("self", TEXT_MAX_LENGTH, pattern)).message(message)
}

/// The field never changes once set.
pub(crate) fn immutable(why: &str) -> Rule {
    Rule::new("self == oldSelf").message(format!("is immutable: {why}").as_str())
}

/// An optional field of the spec never changes: neither its value, nor from absent to set or back.
pub(crate) fn optional_immutable(field: &str, why: &str) -> Rule {
    Rule::new(format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    ))
    .message(format!("{field} is immutable, also from absent to set: {why}").as_str())
}

/// For the root: an object has a spec, unless it was stored without one. `required` cannot say that:
/// it would hold back the finalizer of such an object. And an object that lost its spec and then got
/// another would get around all that is immutable.
pub(crate) fn spec_stays() -> ValidationRule {
    ValidationRule {
        rule: "has(self.spec) || (oldSelf.hasValue() && !has(oldSelf.value().spec))".to_owned(),
        optional_old_self: Some(true),
        message: Some("a spec is required".to_owned()),
        reason: Some("FieldValueRequired".to_owned()),
        field_path: Some(".spec".to_owned()),
        ..ValidationRule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_no_quote_that_would_end_the_cel_literal() {
        for pattern in [INSTANT_PATTERN, DATE_PATTERN, PLAIN_TEXT_PATTERN, USER_PATTERN, NOT_BLANK_PATTERN] {
            assert!(!pattern.contains('\''), "{pattern}");
        }
    }
}
