//! Splits a list into its objects while its body arrives, so that the text of only one object is in memory at a time.
//!
//! The API server sends `{"apiVersion":…,"items":[{…},{…}],"kind":…,"metadata":{…}}`, with the fields in any order.
//! The text outside of `items` is kept, with an empty list in its place, and is read at the end.

/// The longest text of one object. The API server stores no object over 3 MiB (etcd's request limit is 1.5 MiB of a
/// compact form).
const OBJECT_MAX_BYTES: usize = 16 << 20;
/// The longest text outside of the objects.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// Why a body is not a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// It ends too early.
    #[error("it ends before the list does")]
    CutOff,
    /// It has no field `items`. If it were treated as an empty list, it would empty the table.
    #[error("it has no items")]
    NoItems,
    /// A part is larger than any part that the API server sends.
    #[error("an object is larger than {OBJECT_MAX_BYTES} bytes")]
    TooLarge,
}

/// The position of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Outside of `items`.
    Head,
    /// Within `items`, before an object or after the last.
    Between,
    /// Within an object.
    Object,
}

/// Receives the bytes of a body, and passes on each object's text as soon as it is complete.
#[derive(Debug)]
pub struct Items {
    at: At,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The text outside of `items`.
    head: Vec<u8>,
    /// The text of the object that is being read.
    object: Vec<u8>,
    /// Where the last string at depth 1 began in `head`. It is the name of a field if a colon follows.
    name_begins: usize,
    name_ends: usize,
    saw_list: bool,
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
            saw_list: false,
        }
    }
}

impl Items {
    /// Receives more bytes.
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

    /// Ends the body. Returns the text outside of the objects, as a JSON object whose `items` are empty.
    ///
    /// # Errors
    /// [`NoList`] if the body is not a complete list.
    pub fn end(self) -> Result<Vec<u8>, NoList> {
        if self.depth > 0 || self.in_string || self.at != At::Head || self.head.is_empty() {
            return Err(NoList::CutOff);
        }
        if self.saw_list { Ok(self.head) } else { Err(NoList::NoItems) }
    }

    /// Reads the part that belongs to the present object, and returns the rest.
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
            (self.at, self.saw_list) = (At::Between, true);
        }
    }

    /// Tracks strings and brackets.
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

    /// Remembers the position of the last string at the top level.
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
            // given objects that contain any text
            let objects: Vec<Value> = texts
                .iter()
                .map(|text| json!({ "metadata": { "name": text }, text: [text] }))
                .collect();
            let (items, metadata) = (json!(objects).to_string(), json!({ "resourceVersion": "7" }).to_string());
            let body = if metadata_first {
                format!(r#"{{"metadata":{metadata},"items":{items}}}"#)
            } else {
                format!(r#"{{"items":{items},"metadata":{metadata}}}"#)
            };
            // when the list arrives in pieces, then the objects are unchanged
            prop_assert_eq!(cut(&body, piece).unwrap().0, objects);
        }
    }
}
