//! Cuts a list into its objects as its body comes in, so that never more than one object's text is in memory.
//!
//! The API server sends `{"apiVersion":…,"items":[{…},{…}],"kind":…,"metadata":{…}}`, its fields in any order. What stands
//! outside of `items` is kept, with an empty list in its place, and read at the end.

/// Longest text of one object: the API server stores none over 3 MiB (etcd's request limit is 1.5 MiB of a compact form).
const OBJECT_MAX_BYTES: usize = 16 << 20;
/// Longest text of what stands beside the objects.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// Why a body is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// It ends too early.
    #[error("it ends before the list does")]
    CutOff,
    /// It has no field `items`. Taken for an empty list, it would empty the table.
    #[error("it has no items")]
    NoItems,
    /// Some part is larger than any that the API server sends.
    #[error("an object is larger than {OBJECT_MAX_BYTES} bytes")]
    TooLarge,
}

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Outside of `items`.
    Head,
    /// Within `items`, before an object or after the last.
    Between,
    /// Within an object.
    Object,
}

/// Takes the bytes of a body and hands on each object's text as soon as it is complete.
#[derive(Debug)]
pub struct Items {
    at: At,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// What stands outside of `items`.
    head: Vec<u8>,
    /// The text of the object that is being read.
    object: Vec<u8>,
    /// Where the last string at depth 1 began in `head`: it is a field's name if a colon follows.
    name_begins: usize,
    name_ends: usize,
    has_items: bool,
}

impl Default for Items {
    fn default() -> Self {
        Self {
            at: At::Head,
            depth: 0,
            in_string: false,
            escaped: false,
            head: Vec::new(),
            object: Vec::new(),
            name_begins: 0,
            name_ends: 0,
            has_items: false,
        }
    }
}

impl Items {
    /// Takes more bytes.
    ///
    /// # Errors
    /// [`NoList`] if a part is too large.
    pub fn take(&mut self, bytes: &[u8], mut object: impl FnMut(&[u8])) -> Result<(), NoList> {
        let mut rest = bytes;
        while let Some((&first, others)) = rest.split_first() {
            if self.at == At::Object {
                rest = self.within_object(rest, &mut object);
            } else {
                self.outside_object(first);
                rest = others;
            }
            if self.object.len() > OBJECT_MAX_BYTES || self.head.len() > HEAD_MAX_BYTES {
                return Err(NoList::TooLarge);
            }
        }
        Ok(())
    }

    /// The body has ended. Gives what stood beside the objects, as a JSON object whose `items` are empty.
    ///
    /// # Errors
    /// [`NoList`].
    pub fn end(self) -> Result<Vec<u8>, NoList> {
        if self.depth > 0 || self.in_string || self.at != At::Head || self.head.is_empty() {
            return Err(NoList::CutOff);
        }
        if self.has_items { Ok(self.head) } else { Err(NoList::NoItems) }
    }

    /// Takes what belongs to the present object, and gives the rest.
    fn within_object<'a>(&mut self, bytes: &'a [u8], object: &mut impl FnMut(&[u8])) -> &'a [u8] {
        for (index, &byte) in bytes.iter().enumerate() {
            self.step(byte);
            if self.depth == 2 && !self.in_string {
                let (text, rest) = bytes.split_at(index + 1);
                self.object.extend_from_slice(text);
                object(&self.object);
                self.object.clear();
                self.at = At::Between;
                return rest;
            }
        }
        self.object.extend_from_slice(bytes);
        &[]
    }

    fn outside_object(&mut self, byte: u8) {
        let was_in_string = self.in_string;
        self.step(byte);
        if self.at == At::Between {
            match self.depth {
                0 | 1 => self.at = At::Head,
                2 => return,
                _ => {
                    self.at = At::Object;
                    self.object.push(byte);
                    return;
                }
            }
        }
        self.note_name(byte, was_in_string);
        self.head.push(byte);
        if !was_in_string && byte == b'[' && self.depth == 2 && self.name() == b"items" {
            (self.at, self.has_items) = (At::Between, true);
        }
    }

    /// Follows strings and brackets.
    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Remembers where the last string at the top level stands.
    fn note_name(&mut self, byte: u8, was_in_string: bool) {
        if self.depth != 1 || byte != b'"' || self.in_string == was_in_string {
            return;
        }
        if self.in_string {
            self.name_begins = self.head.len() + 1;
        } else {
            self.name_ends = self.head.len();
        }
    }

    fn name(&self) -> &[u8] {
        self.head.get(self.name_begins..self.name_ends).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn cut(body: &str, piece: usize) -> Result<(Vec<Value>, Value), NoList> {
        let (mut items, mut objects) = (Items::default(), Vec::new());
        for bytes in body.as_bytes().chunks(piece.max(1)) {
            items.take(bytes, |text| objects.push(serde_json::from_slice(text).unwrap()))?;
        }
        Ok((objects, serde_json::from_slice(&items.end()?).unwrap()))
    }

    #[test]
    fn the_objects_of_a_list_come_in_their_order_whatever_stands_around_them() {
        let body = r#"{"apiVersion":"v1","items":[{"a":"]}\"{"}, {"b":[{"c":1}]}],"kind":"items","metadata":{"continue":"x"}}"#;
        for piece in 1..body.len() {
            let (objects, head) = cut(body, piece).unwrap();
            assert_eq!(objects, [json!({ "a": "]}\"{" }), json!({ "b": [{ "c": 1 }] })]);
            let beside =
                json!({ "apiVersion": "v1", "items": [], "kind": "items", "metadata": { "continue": "x" } });
            assert_eq!(head, beside);
        }
    }

    #[test]
    fn a_list_within_another_field_is_no_list_of_objects() {
        let body = r#"{"metadata":{"items":[{"a":1}],"x":["items"]},"items":[{"b":2}]}"#;
        assert_eq!(cut(body, 7).unwrap().0, [json!({ "b": 2 })]);
    }

    #[test]
    fn what_is_cut_off_or_no_list_is_an_error() {
        for (body, error) in [
            (r#"{"items":[{"a":1}"#, NoList::CutOff),
            (r#"{"items":[{"a":"#, NoList::CutOff),
            (r#"{"items":[]"#, NoList::CutOff),
            ("{}", NoList::NoItems),
            (r#"{"items":null}"#, NoList::NoItems),
            ("not found", NoList::NoItems),
            ("", NoList::CutOff),
        ] {
            assert_eq!(cut(body, 3).unwrap_err(), error, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_cut_into_its_objects(
            texts in proptest::collection::vec(".{0,12}", 0..6), piece in 1_usize..40, metadata_first: bool,
        ) {
            // given objects that hold any text
            let objects: Vec<Value> = texts.iter().map(|text| json!({ "metadata": { "name": text }, text: [text] })).collect();
            let (items, metadata) = (json!(objects).to_string(), json!({ "resourceVersion": "7" }).to_string());
            let body = if metadata_first {
                format!(r#"{{"metadata":{metadata},"items":{items}}}"#)
            } else {
                format!(r#"{{"items":{items},"metadata":{metadata}}}"#)
            };
            // when the list comes in pieces, then they are what they were
            prop_assert_eq!(cut(&body, piece).unwrap().0, objects);
        }
    }
}
