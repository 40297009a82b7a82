//! A message, as the server returns it.

use jiff::Timestamp;
use serde::Deserialize;

/// A message that the server took.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedMail {
    /// The sender in the envelope.
    pub envelope_from: String,
    /// The recipients in the envelope that were not refused.
    pub recipients: Vec<String>,
    /// The message as it came. Bytes that are not UTF-8 become question marks.
    pub raw: String,
    /// When the server took it.
    pub accepted_at: Timestamp,
    /// Whether it came through TLS.
    pub tls: bool,
    /// The user who had logged in.
    pub auth_user: Option<String>,
    /// The header's Subject, decoded.
    pub subject: Option<String>,
    /// The header's To, decoded.
    pub to: Option<String>,
    /// The header's From, decoded.
    pub from: Option<String>,
    /// The header's Message-ID.
    pub message_id: Option<String>,
    /// The decoded text, with `\n` at the ends of lines. If there are several texts, it is the plain one.
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
