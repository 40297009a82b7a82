//! Mail over SMTP.

use std::{sync::Arc, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        PoolConfig,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};

use super::{Letter, SendError};

/// The longest time for one command and its answer. A server that scans mail before it accepts it needs some time. If
/// it is cut off, the mail is sent a second time.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);
/// The most connections that are kept, and for how long they are kept.
const CONNECTIONS: u32 = 4;
const IDLE: Duration = Duration::from_secs(30);
/// The longest part of a server's answer that is reported.
const ANSWER_MAX_CHARS: usize = 200;
/// The longest part of a recipient that is reported.
const RECIPIENT_MAX_CHARS: usize = 64;

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
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

/// The settings of the mail server. They contain a password, so they are not printed.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
    /// The sender's address.
    pub sender: String,
    /// How the connection is secured.
    pub security: Security,
    /// Certificate authorities to trust in addition to the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Domains to which mail may be sent. Empty means all.
    pub domains: Vec<String>,
}

/// Why mail cannot be set up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MailError {
    /// The sender is not a mail address.
    #[error("SMTP_SENDER: {0:?} is no mail address")]
    Sender(String),
    /// TLS cannot be set up.
    #[error("mail: {0}")]
    Tls(String),
}

/// Sends mail, or reports why no mail can be sent.
#[derive(Clone)]
pub struct Mailer(Result<Arc<Setup>, String>);

struct Setup {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Mailbox,
    domains: Vec<String>,
}

impl Mailer {
    /// Creates a mailer. Without settings it refuses every mail.
    ///
    /// # Errors
    /// [`MailError`] if the settings are invalid.
    pub fn new(settings: Option<SmtpSettings>) -> Result<Self, MailError> {
        let Some(settings) = settings else {
            return Ok(Self::refusing("no mail server is set up (SMTP_HOST, SMTP_SENDER)"));
        };
        let sender = settings.sender.parse().map_err(|_| MailError::Sender(settings.sender.clone()))?;
        let tls = tls(&settings)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(COMMAND_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS).idle_timeout(IDLE));
        if let Some((user, password)) = settings.login {
            builder = builder.credentials(Credentials::new(user, password));
        }
        let domains = settings.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
        Ok(Self(Ok(Arc::new(Setup { transport: builder.build(), sender, domains }))))
    }

    /// A mailer that refuses every mail, with a reason.
    pub fn refusing(why: &str) -> Self {
        Self(Err(why.to_owned()))
    }

    pub(super) async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let setup = self.0.as_ref().map_err(|why| SendError::Final(why.clone()))?;
        let message = setup.message(letter)?;
        match setup.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let text: String = error.to_string().chars().take(ANSWER_MAX_CHARS).collect();
                let code = error.status().map(u16::from);
                if code.is_some_and(is_final) {
                    Err(SendError::Final(text))
                } else {
                    Err(SendError::Passing(text))
                }
            }
        }
    }
}

/// Whether an answer is final because it is about the recipient or the mail. The cause of other answers, such as a
/// refused login, may be removed before the notice is useless: RFC 5321, section 4.2.3.
fn is_final(code: u16) -> bool {
    matches!(code, 501 | 550..=553 | 555)
}

impl Setup {
    /// Builds the message. A library encodes the headers, so a user's text cannot end a header.
    fn message(&self, letter: &Letter) -> Result<Message, SendError> {
        let recipient = &letter.recipient;
        let bad = |problem: &str| {
            SendError::Final(format!(
                "{:?} {problem}",
                recipient.chars().take(RECIPIENT_MAX_CHARS).collect::<String>()
            ))
        };
        let address: Address = recipient.parse().map_err(|_| bad("is no mail address"))?;
        let domain = address.domain().to_ascii_lowercase();
        if !self.domains.is_empty() && !self.domains.contains(&domain) {
            return Err(bad("is in no domain that mail may go to (--mail-recipient-domains)"));
        }
        let subject: String = letter.subject.chars().filter(|c| !c.is_control()).collect();
        Message::builder()
            .from(self.sender.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .message_id(Some(letter.message_id.clone()))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
            .map_err(|error| SendError::Final(error.to_string()))
    }
}

fn tls(settings: &SmtpSettings) -> Result<Tls, MailError> {
    let parameters = || {
        let mut builder = TlsParameters::builder(settings.host.clone());
        if let Some(pem) = &settings.ca_pem {
            let authority = Certificate::from_pem(pem).map_err(|error| MailError::Tls(error.to_string()))?;
            builder = builder.add_root_certificate(authority);
        }
        builder.build().map_err(|error| MailError::Tls(error.to_string()))
    };
    let is_local = matches!(settings.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    Ok(match settings.security {
        Security::None => Tls::None,
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::Starttls => Tls::Required(parameters()?),
        Security::Auto if settings.port == 465 => Tls::Wrapper(parameters()?),
        Security::Auto if settings.login.is_some() && !is_local => Tls::Required(parameters()?),
        Security::Auto => Tls::Opportunistic(parameters()?),
    })
}
