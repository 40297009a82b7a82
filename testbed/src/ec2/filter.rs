//! Filters of describe calls, with EC2's wildcards.

use super::error::ApiError;
use super::instance::Seen;

/// EC2 refuses more filter values in one call.
const MAX_VALUES: usize = 200;

/// A filter as it came in: a name, and values of which one must match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RawFilter {
    /// The name, for example `tag:Name` or `instance-state-name`.
    pub name: String,
    /// Patterns, with EC2's wildcards.
    pub values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Tag(String),
    TagKey,
    StateName,
    StateCode,
    InstanceId,
    InstanceType,
    Zone,
}

#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) field: Field,
    pub(crate) patterns: Vec<Pattern>,
}

impl Filter {
    pub(crate) fn parse_all(raw: &[RawFilter]) -> Result<Vec<Self>, ApiError> {
        if raw.iter().map(|filter| filter.values.len()).sum::<usize>() > MAX_VALUES {
            let message =
                format!("The maximum number of filter values specified on a single call is {MAX_VALUES}");
            return Err(ApiError::new("FilterLimitExceeded", message));
        }
        raw.iter().map(Self::parse).collect()
    }

    fn parse(raw: &RawFilter) -> Result<Self, ApiError> {
        let field = match raw.name.as_str() {
            "tag-key" => Field::TagKey,
            "instance-state-name" => Field::StateName,
            "instance-state-code" => Field::StateCode,
            "instance-id" => Field::InstanceId,
            "instance-type" => Field::InstanceType,
            "availability-zone" => Field::Zone,
            name => match name.strip_prefix("tag:") {
                Some(key) if !key.is_empty() => Field::Tag(key.to_owned()),
                _ => {
                    return Err(ApiError::invalid_value(format!("The filter '{name}' is invalid")));
                }
            },
        };
        if raw.values.is_empty() {
            return Err(ApiError::invalid_value(format!("The filter '{}' has no values", raw.name)));
        }
        Ok(Self { field, patterns: raw.values.iter().map(|value| Pattern::parse(value)).collect() })
    }

    pub(crate) fn matches(&self, seen: &Seen) -> bool {
        match &self.field {
            Field::Tag(key) => seen.tags.get(key).is_some_and(|value| self.accepts(value)),
            Field::TagKey => seen.tags.keys().any(|key| self.accepts(key)),
            Field::StateName => self.accepts(seen.phase.state.name()),
            Field::StateCode => self.accepts(&seen.phase.state.code().to_string()),
            Field::InstanceId => self.accepts(&seen.id),
            Field::InstanceType => self.accepts(&seen.kind),
            Field::Zone => self.accepts(&seen.zone),
        }
    }

    pub(crate) fn accepts(&self, value: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(value))
    }
}

/// A filter value. `*` is any run of characters, `?` is any character, and `\` makes either of them, or itself,
/// literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Wild(Vec<Token>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Literal(char),
    AnyOne,
    AnyRun,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        let mut tokens = Vec::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::AnyRun,
                '?' => Token::AnyOne,
                // Before any other character, or at the end, a backslash stands for itself.
                '\\' => {
                    Token::Literal(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\'))
                }
                c => Token::Literal(c),
            });
        }
        let exact = tokens.iter().map(|token| match token {
            Token::Literal(c) => Some(*c),
            Token::AnyOne | Token::AnyRun => None,
        });
        match exact.collect::<Option<String>>() {
            Some(exact) => Self::Exact(exact),
            None => Self::Wild(tokens),
        }
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Wild(tokens) => wild_matches(tokens, text),
        }
    }
}

/// It goes back only to the latest `*`, so it is never worse than quadratic.
fn wild_matches(tokens: &[Token], text: &str) -> bool {
    let mut tokens = tokens.iter();
    let mut chars = text.chars();
    let mut retry = None;
    loop {
        let tail = chars.clone();
        let fits = match (tokens.next(), chars.next()) {
            (Some(Token::AnyRun), _) => {
                // The `*` takes nothing at first. Each retry lets it take one more character.
                retry = Some((tokens.clone(), tail.clone()));
                chars = tail;
                true
            }
            (None, None) => return true,
            (Some(Token::AnyOne), Some(_)) => true,
            (Some(Token::Literal(wanted)), Some(c)) => *wanted == c,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !fits {
            let Some((after_run, mut rest)) = retry.take() else {
                return false;
            };
            if rest.next().is_none() {
                return false;
            }
            retry = Some((after_run.clone(), rest.clone()));
            tokens = after_run;
            chars = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_ec2() {
        for (pattern, text, expected) in [
            ("web", "web", true),
            ("web", "Web", false),
            ("web", "web1", false),
            ("w*", "web", true),
            ("*", "", true),
            ("?", "", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*b*", "abc", true),
            ("a*b*c", "a--b--b-c", true),
            ("a*b*c", "a--b--b-", false),
            ("**a", "bba", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\?b", "a?b", true),
            (r"a\\b", r"a\b", true),
            (r"a\b", r"a\b", true),
            (r"a\", r"a\", true),
            (r"\\*", r"\anything", true),
            ("gr?n", "grün", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::parse(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn an_escaped_pattern_is_an_exact_one() {
        assert_eq!(Pattern::parse(r"a\*\?\\"), Pattern::Exact(r"a*?\".to_owned()));
    }

    #[test]
    fn an_unknown_filter_is_refused_by_name() {
        let raw = RawFilter { name: "colour".to_owned(), values: vec!["red".to_owned()] };
        let error = Filter::parse_all(&[raw]).unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("InvalidParameterValue", "The filter 'colour' is invalid")
        );
    }

    #[test]
    fn more_than_two_hundred_values_are_refused() {
        let raw = RawFilter { name: "tag:a".to_owned(), values: vec!["x".to_owned(); 201] };
        assert_eq!(Filter::parse_all(&[raw]).unwrap_err().code, "FilterLimitExceeded");
    }
}
