//! Parsers of flag values, in the forms that users and the predecessor write.

use std::{ffi::OsString, net::SocketAddr, time::Duration};

use bookings::decide::locations::account;
use jiff::SignedDuration;

use crate::families::{self, FamilyInfo};

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) Option<SocketAddr>);

/// The families to run.
#[derive(Clone, Debug)]
pub(super) struct Families(pub(super) Vec<FamilyInfo>);

pub(super) fn parse_families(text: &str) -> Result<Families, String> {
    families::parse(text).map(Families)
}

/// Go accepts `-flag` for `--flag`.
pub(super) fn double_dash(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text.len() > 2 && text.starts_with('-') && !text.starts_with("--") => {
            OsString::from(format!("-{text}"))
        }
        _ => arg,
    }
}

/// Zap's levels: names, or numbers. A higher number logs more.
pub(super) fn zap_filter(level: &str) -> String {
    match level {
        "debug" | "info" | "error" => level.to_owned(),
        "panic" | "fatal" => "error".to_owned(),
        number if number.parse::<u8>().is_ok_and(|number| number > 1) => "trace".to_owned(),
        _ => "debug".to_owned(),
    }
}

pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    if text == "0" || text.is_empty() {
        return Ok(Address(None));
    }
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map(|address| Address(Some(address))).map_err(|_| {
        format!("{text:?} is no address; write host:port with an IP address, :port, or 0 for none")
    })
}

/// The ARN of a role, or nothing.
pub(super) fn parse_role(text: &str) -> Result<String, String> {
    let role = text.trim();
    // If the ARN were ignored, the operator would act in another account than the user asked for. That would be worse
    // than not to act.
    if !role.is_empty() && account(role).is_empty() {
        return Err(format!(
            "{text:?} is not the ARN of a role; write for example arn:aws:iam::123456789012:role/booking"
        ));
    }
    Ok(role.to_owned())
}

/// A duration such as 90s, 30m or 1h30m. It must be more than zero.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<SignedDuration> = text.parse().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| *duration <= Duration::from_hours(366 * 24))
        .ok_or_else(|| {
            format!("{text:?} is no duration; write for example 500ms, 90s, 30m or 1h30m, at most 366 days")
        })
}
