//! Webhooks: a signed JSON POST.
//!
//! A user who may create a Booking chooses the URL. So only URLs are called that the administrator has listed.
//! An address of the cluster or of the cloud's metadata service is never called, unless the administrator has listed
//! that address itself.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{Certificate, Client, StatusCode, Url, redirect::Policy};
use sha2::Sha256;

use super::{Letter, SendError};

/// The longest time for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Which URLs may be called, and how calls are signed. It contains a key, so it is not printed.
#[derive(Clone, Default)]
pub struct WebhookSettings {
    /// URL prefixes. If there are none, webhooks are off.
    pub allow: Vec<Url>,
    /// The key of the signature.
    pub key: Option<Vec<u8>>,
    /// Certificate authorities to trust in addition to the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// Calls webhooks.
#[derive(Clone)]
pub struct Webhooks(Arc<WebhookSettings>);

impl Webhooks {
    /// Creates it. It calls only URLs that the settings allow.
    pub fn new(settings: WebhookSettings) -> Self {
        Self(Arc::new(settings))
    }

    pub(super) async fn send(&self, letter: &Letter, now: Timestamp) -> Result<(), SendError> {
        let url = self.allowed(&letter.recipient)?;
        let address = self.resolve(&url).await?;
        let client = self.client(&url, address)?;
        let body = letter.json.clone();
        let mut request = client
            .post(url)
            .header("content-type", "application/json")
            .header("x-booking-delivery", &letter.message_id)
            .header("x-booking-timestamp", now.as_second());
        if let Some(key) = &self.0.key {
            request = request.header("x-booking-signature", signature(key, now, &body));
        }
        let answer = request.body(body).send().await.map_err(|error| {
            // The error's own text contains the URL, which may contain a secret.
            SendError::Passing(
                if error.is_timeout() { "no answer in time" } else { "not reached" }.to_owned(),
            )
        })?;
        let status = answer.status();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(SendError::Passing(format!("HTTP status {}", status.as_u16())))
            }
            _ if status.is_server_error() => {
                Err(SendError::Passing(format!("HTTP status {}", status.as_u16())))
            }
            _ => Err(SendError::Final(format!("HTTP status {}", status.as_u16()))),
        }
    }

    /// The URL, if it is at or below a listed one.
    fn allowed(&self, recipient: &str) -> Result<Url, SendError> {
        if self.0.allow.is_empty() {
            return Err(SendError::Final("webhooks are off (--webhook-allow)".to_owned()));
        }
        let url =
            Url::parse(recipient).map_err(|_| SendError::Final("what is given is no URL".to_owned()))?;
        if self.0.allow.iter().any(|prefix| is_below(&url, prefix)) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        Err(SendError::Final(format!("a URL of {host:?} that is not allowed (--webhook-allow)")))
    }

    /// Resolves the host once, and exactly this address is called. A second lookup could give another address.
    async fn resolve(&self, url: &Url) -> Result<SocketAddr, SendError> {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let found = found.map_err(|_| SendError::Passing(format!("{host:?} cannot be looked up")))?;
        choose(bare, found)
    }

    fn client(&self, url: &Url, address: SocketAddr) -> Result<Client, SendError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(CALL_TIMEOUT)
            .resolve(url.host_str().unwrap_or_default(), address);
        if let Some(pem) = &self.0.ca_pem {
            let authority =
                Certificate::from_pem(pem).map_err(|error| SendError::Final(error.to_string()))?;
            builder = builder.tls_certs_merge([authority]);
        }
        builder.build().map_err(|error| SendError::Final(error.to_string()))
    }
}

/// The address to call among the addresses of a name. An internal address is refused, unless the host itself is
/// listed as that address.
fn choose(host: &str, found: impl Iterator<Item = SocketAddr>) -> Result<SocketAddr, SendError> {
    let listed_as_such = host.parse::<IpAddr>().is_ok() || host == "localhost";
    let mut is_inside = false;
    for address in found {
        if listed_as_such || is_public(address.ip()) {
            return Ok(address);
        }
        is_inside = true;
    }
    if is_inside {
        let inside = format!("{host:?} is an address inside: list it as an address to allow it");
        return Err(SendError::Final(inside));
    }
    Err(SendError::Passing(format!("{host:?} has no address")))
}

/// Parses an entry of the list.
///
/// # Errors
/// A text that says what is wrong with it.
pub fn parse_prefix(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.query().is_none();
    if !is_plain || url.host_str().is_none() {
        return Err(format!("{text:?} is not allowed; write for example https://hooks.example.com/team/"));
    }
    Ok(url)
}

/// Whether a URL is at or below a prefix.
fn is_below(url: &Url, prefix: &Url) -> bool {
    let base = prefix.path().trim_end_matches('/');
    let rest = url.path().strip_prefix(base);
    // Some servers decode these sequences before they resolve dots.
    let path = url.path().to_ascii_lowercase();
    let hides = ["%2f", "%5c", "%25"].iter().any(|hidden| path.contains(hidden));
    url.scheme() == prefix.scheme()
        && url.host_str() == prefix.host_str()
        && url.port_or_known_default() == prefix.port_or_known_default()
        && url.username().is_empty()
        && url.password().is_none()
        && !hides
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether an address is none of these: loopback, link-local, private, shared, documentation, multicast.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || is_shared
                || a == 0
                || a >= 240
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // Global unicast is 2000::/3. In it, 2001:db8::/32 is for documentation, and 2001::/32 and 2002::/16
            // contain IPv4 addresses, as 64:ff9b::/96 does outside of it.
            first & 0xe000 == 0x2000
                && !(first == 0x2001 && (second == 0xdb8 || second == 0))
                && first != 0x2002
        }
    }
}

/// `sha256=<hex>` of the timestamp, a dot and the body. With the timestamp in it, nobody can replay an old call as a
/// new one.
fn signature(key: &[u8], now: Timestamp, body: &str) -> String {
    // HMAC accepts a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("{}.{body}", now.as_second()).as_bytes());
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_below_a_listed_one_are_called() {
        let prefix = parse_prefix("https://hooks.example.com/team/").unwrap();
        let table = [
            ("https://hooks.example.com/team/a?b=c", true),
            ("https://hooks.example.com/team", true),
            ("https://hooks.example.com/teamwork", false),
            ("https://hooks.example.com/team/../other", false),
            ("https://hooks.example.com/team/..%2fother", false),
            ("https://hooks.example.com.evil.org/team/a", false),
            ("https://user@hooks.example.com/team/a", false),
            ("https://hooks.example.com:8443/team/a", false),
            ("http://hooks.example.com/team/a", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_below(&Url::parse(url).unwrap(), &prefix), expected, "{url}");
        }
        for bad in ["http://hooks.example.com/", "hooks.example.com", "https://a:b@x/", "https://x/?q"] {
            assert!(parse_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_inside_are_told_from_public_ones() {
        for inside in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for public in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_name_that_stands_for_an_address_inside_is_refused_and_a_listed_address_is_not() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
        let call = |host: &str, found: &[&str]| choose(host, found.iter().map(|text| address(text)));
        let evil = "hooks.example.com";
        for inside in ["127.0.0.1", "169.254.169.254", "10.0.0.7", "::1", "::ffff:10.0.0.7", "fd00::1"] {
            assert!(matches!(call(evil, &[inside]), Err(SendError::Final(_))), "{inside}");
        }
        assert_eq!(call(evil, &["10.0.0.7", "203.0.114.1"]).unwrap(), address("203.0.114.1"));
        assert_eq!(call("10.0.0.7", &["10.0.0.7"]).unwrap(), address("10.0.0.7"));
        assert!(matches!(call(evil, &[]), Err(SendError::Passing(_))));
    }

    #[test]
    fn the_signature_is_the_hmac_of_timestamp_and_body() {
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac key
        let expected = "sha256=7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f";
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(signature(b"key", at, "{}"), expected);
        assert_ne!(signature(b"other", at, "{}"), expected);
    }
}
