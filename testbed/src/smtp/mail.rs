//! A message, as the server hands it over.

use jiff::Timestamp;
use serde::Deserialize;

/// A message that the server took.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedMail {
    /// The sender by the envelope.
    pub envelope_from: String,
    /// The recipients by the envelope: those that were not refused.
    pub recipients: Vec<String>,
    /// The message as it came; bytes that are not UTF-8 are question marks.
    pub raw: String,
    /// When it was taken.
    pub accepted_at: Timestamp,
    /// Whether it came through TLS.
    pub tls: bool,
    /// Who had logged in.
    pub auth_user: Option<String>,
    /// The header's Subject, decoded.
    pub subject: Option<String>,
    /// The header's To, decoded.
    pub to: Option<String>,
    /// The header's From, decoded.
    pub from: Option<String>,
    /// The header's Message-ID.
    pub message_id: Option<String>,
    /// The text, decoded, with `\n` at the ends of lines: the plain one if there are several.
    pub body: String,
    headers: Vec<(String, String)>,
}

impl ReceivedMail {
    /// The decoded value of the first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.headers.iter();
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
