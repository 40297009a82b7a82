//! The admission rules: CEL expressions that the API server evaluates.
//!
//! Two facts shape every rule here.
//!
//! 1. A stored object that breaks a rule must stay editable and deletable. If a field is unchanged, Kubernetes
//!    accepts that its rule answers *false* (ratcheting), but it does not accept that the rule raises an *error*. So a
//!    match guards every conversion, and a length guards every match: a match on a stored mebibyte exceeds the cost
//!    limit of a rule, which is also an error.
//! 2. A rule must be on the field or on the spec, not on the root. The API server evaluates a rule on the root again
//!    at each status write. The exception is `spec_stays`: it reads nothing that a status write changes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use kube::core::{Message, Rule};

/// RFC 3339 as Go's `time.Parse(time.RFC3339, …)` accepts it. The pattern checks days against month and leap year. If
/// a value matches it and `IN_RANGE`, CEL's `timestamp()` cannot fail. RE2 syntax.
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

/// The instants that CEL and Go can represent. An offset may not push the last day of 9999 into the year 10000. The
/// lower limit is 1970 because nothing can be booked before it.
const IN_RANGE: &str = "{} >= '1970' && ({} < '9999-12-31' || {}.endsWith('Z'))";

/// Plain text: no control characters, no line or paragraph separators, no marks that reorder text. None of them
/// belongs in a name, and CR LF in a recipient would forge mail headers. RE2 syntax.
pub const PLAIN_TEXT_PATTERN: &str =
    r"^[^\p{Cc}\p{Zl}\p{Zp}\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]+$";

/// Text without invisible characters. Two names that differ only in an invisible character look the same. RE2 syntax.
pub const USER_PATTERN: &str = r"^[^\x{00AD}\x{200B}\x{FEFF}\x{2060}-\x{2064}]*$";

/// At least one visible character. RE2 syntax.
const NOT_BLANK_PATTERN: &str = r"[^\p{Z}]";

/// Longest accepted instant: date, time, nine digits of fraction, offset.
pub const INSTANT_MAX_LENGTH: u32 = 35;

/// The longest text that is matched against a pattern. For a longer text the rule answers false. No field's
/// `maxLength` may exceed it.
pub const TEXT_MAX_LENGTH: u32 = 2048;

/// A CEL expression: `field` is at most `max` characters long and matches `pattern`. The literal is raw, so that the
/// backslashes of the pattern are kept.
fn is_match(field: &str, max: u32, pattern: &str) -> String {
    format!("size({field}) <= {max} && {field}.matches(r'{pattern}')")
}

/// A CEL expression: `field` is an instant that `timestamp()` accepts.
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

/// `end_at` is after `start_at`. The rule ignores fields that are missing or are not instants, because they have
/// rules of their own.
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

/// The value can name a user: it is not blank and has no invisible characters.
pub(crate) fn user() -> Rule {
    let seen = format!("self.matches(r'{USER_PATTERN}') && self.matches(r'{NOT_BLANK_PATTERN}')");
    // Text that is not plain breaks the rule for plain text. This rule does not report it a second time.
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

/// Every value is a date. The rule does not refuse 30 February; the operator checks that.
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

/// A rule for the root: an object has a spec, unless it was stored without one. `required` cannot express that: it
/// would block the removal of the finalizer from such an object. An object must not lose its spec and get another
/// one, because that would change immutable fields.
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
