//! Writes the Query protocol: results and errors as XML. It has those of EC2, and the common part of RDS and STS.

use super::actions::{Page, StateChange};
use super::error::ApiError;
use super::instance::Seen;
use super::mix::mix;
use super::model::{API_VERSION, InstanceState};
use super::text::is_xml_char;

/// Writes elements. Text is escaped.
pub(crate) struct Xml(String);

impl Xml {
    fn begin() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    fn document(root: &str, request_id: &str, content: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self::begin();
        let attributes = format!(" xmlns=\"http://ec2.amazonaws.com/doc/{API_VERSION}/\"");
        xml.open(root, &attributes);
        xml.text("requestId", request_id);
        content(&mut xml);
        xml.close(root);
        xml.0
    }

    fn open(&mut self, name: &str, attributes: &str) {
        self.0.extend(["<", name, attributes, ">"]);
    }

    fn close(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }

    pub(crate) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name, "");
        content(self);
        self.close(name);
    }

    fn items<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Self, T)) {
        self.list(name, "item", items, each);
    }

    /// Writes elements `item` within an element `name`.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
        each: impl Fn(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for one in items {
                xml.element(item, |xml| each(xml, one));
            }
        });
    }

    /// Writes an element if there is a text.
    pub(crate) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.element(name, |xml| {
            for c in text.chars() {
                match c {
                    '&' => xml.0.push_str("&amp;"),
                    '<' => xml.0.push_str("&lt;"),
                    '>' => xml.0.push_str("&gt;"),
                    '"' => xml.0.push_str("&quot;"),
                    // A reader would take a bare carriage return for a line feed.
                    '\r' => xml.0.push_str("&#xD;"),
                    // An error quotes the text of the caller, which may contain anything.
                    c if !is_xml_char(c) => xml.0.push('\u{fffd}'),
                    c => xml.0.push(c),
                }
            }
        });
    }

    fn state(&mut self, name: &str, state: InstanceState) {
        self.element(name, |xml| {
            xml.text("code", &state.code().to_string());
            xml.text("name", state.name());
        });
    }
}

/// The id of the request with this number.
pub(crate) fn request_id(number: u64) -> String {
    let (high, low) = (mix(number), mix(!number));
    // EC2's request ids have the form of a random UUID.
    let time = format!("{:08x}-{:04x}-4{:03x}", high >> 32, (high >> 16) & 0xffff, high & 0x0fff);
    format!("{time}-{:04x}-{:012x}", ((low >> 48) & 0x3fff) | 0x8000, low & 0xffff_ffff_ffff)
}

/// Writes one reservation for each instance, so that pages of reservations are pages of instances.
pub(crate) fn described(request_id: &str, account: &str, page: &Page) -> String {
    Xml::document("DescribeInstancesResponse", request_id, |xml| {
        xml.items("reservationSet", &page.instances, |xml, seen| {
            xml.text("reservationId", &seen.id.replacen("i-", "r-", 1));
            xml.text("ownerId", account);
            xml.items("groupSet", std::iter::empty::<()>(), |_, ()| ());
            xml.items("instancesSet", [seen], instance);
        });
        if let Some(token) = &page.next_token {
            xml.text("nextToken", token);
        }
    })
}

fn instance(xml: &mut Xml, seen: &Seen) {
    xml.text("instanceId", &seen.id);
    xml.state("instanceState", seen.phase.state);
    xml.text("reason", &seen.phase.transition);
    xml.text("amiLaunchIndex", "0");
    xml.text("instanceType", &seen.kind);
    xml.text("launchTime", &seen.phase.launched_at.iso8601());
    xml.element("placement", |xml| {
        xml.text("availabilityZone", &seen.zone);
        xml.text("tenancy", "default");
    });
    if let Some(reason) = &seen.phase.reason {
        xml.element("stateReason", |xml| {
            xml.text("code", &reason.code);
            xml.text("message", &reason.message);
        });
    }
    xml.text("architecture", "x86_64");
    xml.text("rootDeviceType", "ebs");
    xml.items("tagSet", seen.tags.iter(), |xml, (key, value)| {
        xml.text("key", key);
        xml.text("value", value);
    });
}

pub(crate) fn state_changes(root: &str, request_id: &str, changes: &[StateChange]) -> String {
    Xml::document(root, request_id, |xml| {
        xml.items("instancesSet", changes, |xml, change| {
            xml.text("instanceId", &change.id);
            xml.state("currentState", change.current);
            xml.state("previousState", change.previous);
        });
    })
}

pub(crate) fn done(root: &str, request_id: &str) -> String {
    Xml::document(root, request_id, |xml| xml.text("return", "true"))
}

pub(crate) fn error(request_id: &str, error: &ApiError) -> String {
    let mut xml = Xml::begin();
    xml.element("Response", |xml| {
        xml.element("Errors", |xml| {
            xml.element("Error", |xml| {
                xml.text("Code", &error.code);
                xml.text("Message", &error.message);
            });
        });
        xml.text("RequestID", request_id);
    });
    xml.0
}

/// An answer of RDS or STS to a call that worked.
pub(crate) fn wrapped(
    action: &str,
    namespace: &str,
    request_id: &str,
    content: impl FnOnce(&mut Xml),
) -> String {
    let mut xml = Xml::begin();
    let root = format!("{action}Response");
    xml.open(&root, &format!(" xmlns=\"{namespace}\""));
    content(&mut xml);
    xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    xml.close(&root);
    xml.0
}

/// A refusal of RDS or STS.
pub(crate) fn wrapped_error(namespace: &str, request_id: &str, error: &ApiError) -> String {
    let mut xml = Xml::begin();
    xml.open("ErrorResponse", &format!(" xmlns=\"{namespace}\""));
    xml.element("Error", |xml| {
        xml.text("Type", if error.status < 500 { "Sender" } else { "Receiver" });
        xml.text("Code", &error.code);
        xml.text("Message", &error.message);
    });
    xml.text("RequestId", request_id);
    xml.close("ErrorResponse");
    xml.0
}
