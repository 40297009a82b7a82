//! The flags for mail and webhooks. The `SMTP_*` variables are the predecessor's.

#![allow(clippy::doc_markdown, reason = "field docs are the text of --help, where backticks only disturb")]

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;

use booking_runtime::outbox::{ChannelSettings, mail::Security, webhook::parse_prefix};

/// A text that no log may show.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A URL prefix. None for an empty text.
#[derive(Clone, Debug)]
pub struct Prefix(pub Option<Url>);

fn prefix(text: &str) -> Result<Prefix, String> {
    if text.trim().is_empty() {
        Ok(Prefix(None))
    } else {
        parse_prefix(text.trim()).map(|url| Prefix(Some(url)))
    }
}

/// This signature is what clap requires.
#[allow(clippy::unnecessary_wraps, reason = "clap takes parsers that can fail")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret(text.to_owned()))
}

/// The flags for notifications.
#[derive(Clone, Debug, Args)]
pub struct NotifyArgs {
    /// Mail server. Without it no mail is sent.
    #[arg(long, env = "SMTP_HOST", default_value = "", global = true)]
    pub smtp_host: String,
    /// Port of the mail server.
    #[arg(long, env = "SMTP_PORT", default_value_t = 587, global = true)]
    pub smtp_port: u16,
    /// User to log in as; empty means no login.
    #[arg(long, env = "SMTP_USER", default_value = "", global = true)]
    pub smtp_user: String,
    /// Password. Prefer the environment variable, which no list of processes shows.
    #[arg(
        long,
        env = "SMTP_PASSWORD",
        default_value = "",
        value_parser = secret, hide = true,
        hide_env_values = true,
        global = true
    )]
    pub smtp_password: Secret,
    /// Sender address of mail; empty means the user.
    #[arg(long, env = "SMTP_SENDER", default_value = "", global = true)]
    pub smtp_sender: String,
    /// How the connection is secured.
    #[arg(long, env = "SMTP_SECURITY", value_enum, default_value = "auto", global = true)]
    pub smtp_security: SmtpSecurity,
    /// File with certificate authorities (PEM) to trust in addition to the system's.
    #[arg(long, env = "SMTP_CA_FILE", global = true)]
    pub smtp_ca_file: Option<PathBuf>,
    /// Domains to which mail may be sent, separated by commas; empty means all.
    #[arg(long, env = "MAIL_RECIPIENT_DOMAINS", value_delimiter = ',', global = true)]
    pub mail_recipient_domains: Vec<String>,
    /// URLs below which webhooks may be called, separated by commas; empty means that webhooks are off.
    #[arg(long, env = "WEBHOOK_ALLOW", value_delimiter = ',', value_parser = prefix, global = true)]
    pub webhook_allow: Vec<Prefix>,
    /// File with the key that signs webhooks.
    #[arg(long, env = "WEBHOOK_KEY_FILE", global = true)]
    pub webhook_key_file: Option<PathBuf>,
    /// File with certificate authorities (PEM) to trust in addition to the system's.
    #[arg(long, env = "WEBHOOK_CA_FILE", global = true)]
    pub webhook_ca_file: Option<PathBuf>,
}

/// How the connection to the mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SmtpSecurity {
    /// TLS on port 465, else STARTTLS. STARTTLS is required if a password is sent to another host; else it is used if
    /// the server offers it. The predecessor does the same.
    Auto,
    /// STARTTLS. If the server does not offer it, nothing is sent.
    Starttls,
    /// TLS from the start.
    Tls,
    /// No encryption.
    None,
}

impl NotifyArgs {
    /// The settings of the channels.
    pub(super) fn settings(self) -> ChannelSettings {
        ChannelSettings {
            smtp_host: self.smtp_host,
            smtp_port: self.smtp_port,
            smtp_user: self.smtp_user,
            smtp_password: self.smtp_password.0,
            smtp_sender: self.smtp_sender,
            smtp_security: match self.smtp_security {
                SmtpSecurity::Auto => Security::Auto,
                SmtpSecurity::Starttls => Security::Starttls,
                SmtpSecurity::Tls => Security::Tls,
                SmtpSecurity::None => Security::None,
            },
            smtp_ca_file: self.smtp_ca_file,
            mail_domains: self.mail_recipient_domains,
            webhook_allow: self.webhook_allow.into_iter().filter_map(|prefix| prefix.0).collect(),
            webhook_key_file: self.webhook_key_file,
            webhook_ca_file: self.webhook_ca_file,
        }
    }
}
