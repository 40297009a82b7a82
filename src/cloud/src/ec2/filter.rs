//! EC2 reads filter values as patterns: `*` is any text, `?` is any character, `\` makes either literal.

/// The filter value that matches exactly `text`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_the_escape_itself_become_literal() {
        assert_eq!(escape("analytics"), "analytics");
        assert_eq!(escape("*"), r"\*");
        assert_eq!(escape(r"a?b\c*"), r"a\?b\\c\*");
    }
}
