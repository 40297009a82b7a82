//! The channels, mail and webhooks, and their settings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Channel, Letter,
    mail::{Mailer, Security, SmtpSettings},
    send_slots::{SendSlot, SendSlots},
    webhook::{WebhookSettings, Webhooks},
};

/// Why a notice was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may succeed at another try.
    #[error("{0}")]
    Passing(String),
    /// It will never succeed.
    #[error("{0}")]
    Final(String),
}

/// Why notifications cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The path of the file.
        path: String,
        /// The error.
        source: std::io::Error,
    },
    /// The key is empty. With an empty key anybody could sign.
    #[error("{path}: the webhooks' key is empty")]
    EmptyKey {
        /// The path of the file.
        path: String,
    },
}

/// The settings of the channels, as the command line gives them.
#[derive(Clone)]
pub struct ChannelSettings {
    /// Mail server. Without it no mail is sent.
    pub smtp_host: String,
    /// Port of the mail server.
    pub smtp_port: u16,
    /// User to log in as. Empty means no login.
    pub smtp_user: String,
    /// Password.
    pub smtp_password: String,
    /// Sender address of mail. Empty means the user.
    pub smtp_sender: String,
    /// How the connection is secured.
    pub smtp_security: Security,
    /// File with certificate authorities (PEM) to trust in addition to the system's.
    pub smtp_ca_file: Option<PathBuf>,
    /// Domains to which mail may be sent. Empty means all.
    pub mail_domains: Vec<String>,
    /// URLs below which webhooks may be called. Empty means that webhooks are off.
    pub webhook_allow: Vec<reqwest::Url>,
    /// File with the key that signs webhooks.
    pub webhook_key_file: Option<PathBuf>,
    /// File with certificate authorities (PEM) to trust in addition to the system's.
    pub webhook_ca_file: Option<PathBuf>,
}

/// The channels. Clones share the send slots.
#[derive(Clone)]
pub struct Channels {
    mailer: Mailer,
    webhooks: Webhooks,
    slots: Arc<SendSlots>,
}

impl Channels {
    /// Creates the channels.
    ///
    /// # Errors
    /// [`SetupError`] if a file cannot be read, or if the webhooks' key is empty.
    pub fn new(settings: ChannelSettings) -> Result<Self, SetupError> {
        if let Some(path) = settings.webhook_key_file.as_deref().filter(|path| !path.as_os_str().is_empty())
            && read(Some(path))?.is_none_or(|key| key.trim_ascii().is_empty())
        {
            return Err(SetupError::EmptyKey { path: path.display().to_string() });
        }
        let webhooks = WebhookSettings {
            allow: settings.webhook_allow,
            key: read(settings.webhook_key_file.as_deref())?.map(|key| key.trim_ascii().to_vec()),
            ca_pem: read(settings.webhook_ca_file.as_deref())?,
        };
        let sender =
            if settings.smtp_sender.is_empty() { settings.smtp_user.clone() } else { settings.smtp_sender };
        let domains = settings.mail_domains.iter().map(|domain| domain.trim().to_owned());
        let smtp = SmtpSettings {
            host: settings.smtp_host,
            port: settings.smtp_port,
            login: (!settings.smtp_user.is_empty()).then_some((settings.smtp_user, settings.smtp_password)),
            sender,
            security: settings.smtp_security,
            ca_pem: read(settings.smtp_ca_file.as_deref())?,
            domains: domains.filter(|domain| !domain.is_empty()).collect(),
        };
        // If mail cannot be set up, the operator runs without mail: machines are more important than mail.
        let mailer = Mailer::new(Some(smtp).filter(|smtp| !smtp.host.is_empty())).unwrap_or_else(|error| {
            tracing::error!(%error, "no mail is sent");
            Mailer::refusing(&error.to_string())
        });
        Ok(Self { mailer, webhooks: Webhooks::new(webhooks), slots: Arc::default() })
    }

    /// Waits for a send slot.
    pub(super) async fn slot(&self, channel: Option<Channel>, recipient: &str) -> SendSlot {
        self.slots.wait(channel, recipient).await
    }

    pub(super) async fn send(
        &self,
        channel: Channel,
        letter: &Letter,
        now: Timestamp,
    ) -> Result<(), SendError> {
        match channel {
            Channel::Email => self.mailer.send(letter).await,
            Channel::Webhook => self.webhooks.send(letter, now).await,
        }
    }
}

fn read(path: Option<&Path>) -> Result<Option<Vec<u8>>, SetupError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SetupError::File { path: path.display().to_string(), source })
    };
    path.filter(|path| !path.as_os_str().is_empty()).map(read).transpose()
}
