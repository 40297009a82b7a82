//! Splits Rust source into tokens, but only those that imports and paths consist of.

use std::{iter::Peekable, str::CharIndices};

/// A token and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// The kind of a token. Comments, lifetimes, characters and numbers are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name.
    Word(String),
    /// The content of a string literal, with its escapes unchanged.
    Text(String),
    /// `::`
    Path,
    /// Any other character.
    Sign(char),
}

impl Token {
    /// The word, if it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        if let Kind::Word(word) = &self.kind { Some(word) } else { None }
    }

    /// Whether it is this word.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Whether it is this character.
    pub(crate) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// All tokens of a file.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, rest: text.char_indices().peekable(), line: 1 };
    let mut found = Vec::new();
    loop {
        let line = reader.line;
        let Some(char) = reader.next() else { return found };
        let kind = match char {
            '/' if reader.peek() == Some('/') => reader.skip_line(),
            '/' if reader.peek() == Some('*') => reader.skip_block(),
            '"' => Some(Kind::Text(reader.string())),
            '\'' => reader.skip_character(),
            ':' if reader.peek() == Some(':') => {
                reader.next();
                Some(Kind::Path)
            }
            _ if char.is_ascii_digit() => reader.skip_number(),
            _ if is_of_word(char) => Some(reader.word_or_literal(char)),
            _ if char.is_whitespace() => None,
            _ => Some(Kind::Sign(char)),
        };
        found.extend(kind.map(|kind| Token { kind, line }));
    }
}

fn is_of_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let (_, char) = self.rest.next()?;
        self.line += usize::from(char == '\n');
        Some(char)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, char)| *char)
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let char = self.peek().filter(|char| wanted(*char))?;
        self.next();
        Some(char)
    }

    /// The text that is not yet read.
    fn ahead(&mut self) -> &str {
        let at = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text.get(at..).unwrap_or_default()
    }

    fn skip_line(&mut self) -> Option<Kind> {
        while self.next_if(|char| char != '\n').is_some() {}
        None
    }

    /// Skips a block comment. Block comments nest.
    fn skip_block(&mut self) -> Option<Kind> {
        let mut depth = 0_usize;
        let mut last = '/';
        while let Some(char) = self.next() {
            match (last, char) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth = depth.saturating_sub(1),
                _ => {
                    last = char;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
            last = ' ';
        }
        None
    }

    fn string(&mut self) -> String {
        let mut held = String::new();
        while let Some(char) = self.next() {
            match char {
                '"' => break,
                '\\' => held.extend([char].into_iter().chain(self.next())),
                _ => held.push(char),
            }
        }
        held
    }

    /// Reads `r"…"` and `r#"…"#`, after the `r`.
    fn raw_string(&mut self) -> String {
        let mut end = String::from("\"");
        while self.next_if(|char| char == '#').is_some() {
            end.push('#');
        }
        self.next();
        let mut held = String::new();
        while !self.ahead().starts_with(&end) {
            let Some(char) = self.next() else { return held };
            held.push(char);
        }
        for _ in end.chars() {
            self.next();
        }
        held
    }

    /// Skips a lifetime or a character, after the quote.
    fn skip_character(&mut self) -> Option<Kind> {
        if self.next() == Some('\\') {
            self.next();
            while self.next_if(|char| char != '\'').is_some() {}
            self.next();
        } else if self.next_if(|char| char == '\'').is_none() {
            while self.next_if(is_of_word).is_some() {}
        }
        None
    }

    fn skip_number(&mut self) -> Option<Kind> {
        while self.next_if(is_of_word).is_some() {}
        None
    }

    /// Reads a word, or the literal that its letters begin: a raw string, a byte string, a raw name.
    fn word_or_literal(&mut self, first: char) -> Kind {
        let mut word = String::from(first);
        while let Some(char) = self.next_if(is_of_word) {
            word.push(char);
        }
        let ahead = self.ahead();
        let raw = ahead.trim_start_matches('#').starts_with('"');
        match word.as_str() {
            "r" | "br" | "cr" if raw => Kind::Text(self.raw_string()),
            "b" | "c" if ahead.starts_with('"') => {
                self.next();
                Kind::Text(self.string())
            }
            "r" if ahead.starts_with('#') => {
                self.next();
                let name = self.next().unwrap_or('_');
                self.word_or_literal(name)
            }
            _ => Kind::Word(word),
        }
    }
}
