//! Finds the declarations, imports and paths of a file. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::token::{Kind, Token, tokens};

/// A file, or a module in braces.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// `#![cfg(test)]`
    pub(crate) is_test: bool,
    /// `mod name;`
    pub(crate) children: Vec<Child>,
    /// `mod name { … }`
    pub(crate) inline: BTreeMap<String, Module>,
    /// Functions, types, constants and macros.
    pub(crate) defines: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
}

/// A module with a file of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) name: String,
    /// `#[path = "…"]`
    pub(crate) path: Option<String>,
}

/// One name that a `use` brings, or all of a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) segments: Vec<String>,
    /// None stands for `*`.
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
}

/// A path in code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// Reads a file.
pub(crate) fn parse(text: &str) -> Module {
    Parser { tokens: &tokens(text), at: 0 }.module()
}

/// Words before a name that is defined.
const DEFINING: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];
/// Items that end with a semicolon, even if they have braces.
const UNBRACED: [&str; 4] = ["use", "const", "static", "type"];
/// The first words of items with braces. Anything else, if it is not in [`UNBRACED`], is a field, an arm or a
/// statement.
const BRACED: [&str; 11] =
    ["fn", "struct", "enum", "union", "mod", "impl", "trait", "macro_rules", "unsafe", "async", "extern"];

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

#[derive(Default)]
struct Attribute {
    is_test: bool,
    is_inner: bool,
    path: Option<String>,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next_is(&self, sign: char) -> bool {
        self.peek().is_some_and(|token| token.is(sign))
    }

    fn next_if(&mut self, sign: char) -> bool {
        let is = self.next_is(sign);
        self.at += usize::from(is);
        is
    }

    /// Reads up to the closing brace, or to the end of the file.
    fn module(&mut self) -> Module {
        let mut module = Module::default();
        let mut depth = 0_usize;
        let mut path = None;
        while let Some(token) = self.next() {
            match &token.kind {
                Kind::Sign('#') => {
                    let attribute = self.attribute(&mut module.mentions);
                    if attribute.is_inner {
                        module.is_test |= attribute.is_test && depth == 0;
                    } else if attribute.is_test {
                        self.skip_item();
                        path = None;
                    }
                    path = attribute.path.filter(|_| !attribute.is_test).or(path);
                }
                Kind::Sign('{') => depth += 1,
                Kind::Sign('}') if depth == 0 => break,
                Kind::Sign('}') => depth -= 1,
                Kind::Word(word) if word == "mod" => self.child(&mut module, path.take()),
                Kind::Word(word) if word == "use" && !self.next_is('<') => {
                    self.import(&[], &mut module.imports);
                }
                Kind::Word(word) if word == "pub" => self.skip_visibility(),
                Kind::Word(word) => {
                    if depth == 0 && DEFINING.contains(&word.as_str()) {
                        module.defines.extend(self.defined());
                    }
                    module.mentions.extend(self.mention());
                }
                Kind::Text(_) | Kind::Path | Kind::Sign(_) => {}
            }
        }
        module
    }

    /// Reads `mod name;` or `mod name { … }`, after the keyword.
    fn child(&mut self, module: &mut Module, path: Option<String>) {
        let Some(name) = self.peek().and_then(Token::word) else { return };
        self.at += 1;
        if self.next_if(';') {
            module.children.push(Child { name: name.to_owned(), path });
        } else if self.next_if('{') {
            module.inline.insert(name.to_owned(), self.module());
        }
    }

    /// The name after a defining word. `macro_rules` has a `!` before the name, and a static may have a `mut`. `const
    /// fn` has no name.
    fn defined(&self) -> Option<String> {
        let mut ahead = self.tokens.iter().skip(self.at);
        let name = ahead.find(|token| !token.is('!') && !token.is_word("mut"))?.word()?;
        (!BRACED.contains(&name)).then(|| name.to_owned())
    }

    /// Reads a tree of a `use` from its first token.
    fn import(&mut self, prefix: &[String], into: &mut Vec<Import>) {
        let mut segments = prefix.to_vec();
        while let Some(token) = self.next() {
            match &token.kind {
                // `::name` belongs to another crate.
                Kind::Path => segments.push(String::new()),
                Kind::Sign('*') => {
                    into.push(Import { segments, name: None, line: token.line });
                    return;
                }
                Kind::Sign('{') => {
                    while self.peek().is_some() && !self.next_if('}') {
                        self.import(&segments, into);
                        self.next_if(',');
                    }
                    return;
                }
                Kind::Word(word) => {
                    if word != "self" || prefix.is_empty() {
                        segments.push(word.clone());
                    }
                    if self.peek().is_some_and(|token| token.kind == Kind::Path) {
                        self.at += 1;
                        continue;
                    }
                    let name = self.renamed().or_else(|| segments.last().cloned());
                    into.push(Import { segments, name, line: token.line });
                    return;
                }
                Kind::Text(_) | Kind::Sign(_) => return,
            }
        }
    }

    fn renamed(&mut self) -> Option<String> {
        if !self.peek()?.is_word("as") {
            return None;
        }
        self.at += 1;
        self.next()?.word().map(ToOwned::to_owned)
    }

    /// The path that begins with the word that has just been read, if it has more words.
    fn mention(&mut self) -> Option<Mention> {
        let first = self.at.checked_sub(1)?;
        let token = self.tokens.get(first)?;
        let mut segments = vec![token.word()?.to_owned()];
        while let [Token { kind: Kind::Path, .. }, Token { kind: Kind::Word(word), .. }, ..] =
            self.tokens.get(self.at..).unwrap_or_default()
        {
            segments.push(word.clone());
            self.at += 2;
        }
        let before = first.checked_sub(1).and_then(|at| self.tokens.get(at));
        let goes_on = before.is_some_and(|token| token.kind == Kind::Path);
        (segments.len() > 1 && !goes_on).then_some(Mention { segments, line: token.line })
    }

    /// Skips `pub(crate)` and `pub(in path)`, which use nothing.
    fn skip_visibility(&mut self) {
        if self.next_if('(') {
            while self.peek().is_some() && !self.next_if(')') {
                self.at += 1;
            }
        }
    }

    /// Reads an attribute after its `#`.
    fn attribute(&mut self, mentions: &mut Vec<Mention>) -> Attribute {
        let is_inner = self.next_if('!');
        if !self.next_if('[') {
            return Attribute::default();
        }
        let begun = self.at;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some(token) if token.is('[') => depth += 1,
                Some(token) if token.is(']') => depth -= 1,
                Some(_) => {}
                None => break,
            }
        }
        let held = self.tokens.get(begun..self.at).unwrap_or_default();
        let is_test = is_test(held);
        if !is_test {
            mentions.extend(mentions_of(held));
        }
        let path = match held {
            [name, equals, Token { kind: Kind::Text(path), .. }, ..]
                if name.is_word("path") && equals.is('=') =>
            {
                Some(path.clone())
            }
            _ => None,
        };
        Attribute { is_test, is_inner, path }
    }

    /// Skips the item of an attribute, from its first token or from another attribute.
    fn skip_item(&mut self) {
        while self.next_if('#') {
            self.attribute(&mut Vec::new());
        }
        if self.peek().is_some_and(|token| token.is_word("pub")) {
            self.at += 1;
            self.skip_visibility();
        }
        let word = self.peek().and_then(Token::word).unwrap_or_default();
        let second = self.tokens.get(self.at + 1).and_then(Token::word).unwrap_or_default();
        let is_braced = BRACED.contains(&word) || word == "const" && BRACED.contains(&second);
        let is_unbraced = !is_braced && UNBRACED.contains(&word);
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            let Kind::Sign(sign) = token.kind else {
                self.at += 1;
                continue;
            };
            match sign {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            let ends =
                sign == ';' || sign == '}' && !is_unbraced || sign == ',' && !is_braced && !is_unbraced;
            if depth == 0 && ends {
                return;
            }
        }
    }
}

/// The paths in an attribute, and those in its strings: `#[serde(with = "crate::instant")]`.
fn mentions_of(attribute: &[Token]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut parser = Parser { tokens: attribute, at: 0 };
    while let Some(token) = parser.next() {
        match &token.kind {
            Kind::Word(_) => found.extend(parser.mention()),
            Kind::Text(text) if ["crate::", "self::", "super::"].iter().any(|it| text.starts_with(it)) => {
                let segments = text.split("::").map(ToOwned::to_owned).collect();
                found.push(Mention { segments, line: token.line });
            }
            _ => {}
        }
    }
    found
}

/// Accepts `cfg(test)`, `cfg(all(test, …))`, `test`, `tokio::test`. It does not accept `cfg(any(test, …))`, which is
/// also product code.
fn is_test(attribute: &[Token]) -> bool {
    let Some((first, rest)) = attribute.split_first() else { return false };
    if !first.is_word("cfg") {
        let path = attribute.iter().take_while(|token| token.word().is_some() || token.kind == Kind::Path);
        return path.last().is_some_and(|token| token.is_word("test"));
    }
    let conditions = match rest {
        [open, all, inner, conditions @ ..] if open.is('(') && all.is_word("all") && inner.is('(') => {
            conditions
        }
        [open, conditions @ ..] if open.is('(') => conditions,
        _ => return false,
    };
    let mut depth = 0_usize;
    for token in conditions {
        match token.kind {
            Kind::Sign('(') => depth += 1,
            Kind::Sign(')') => depth = depth.saturating_sub(1),
            Kind::Word(ref word) if depth == 0 && word == "test" => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
