//! The trusted roles, and the credentials given for them. `wall` is the reading of the machine's wall clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ec2::mix::mix;
use crate::ec2::{AdminError, ApiError, SimTime};

/// The request of an `AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assume {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) duration: Duration,
}

/// The result of a call that worked.
#[derive(Debug)]
pub(crate) enum Answer {
    Assumed(Box<Assumed>),
    /// ARN and account of the caller.
    Identity(String, String),
}

/// Credentials, and the session that they are for.
#[derive(Debug)]
pub(crate) struct Assumed {
    pub(crate) account: String,
    /// The ARN of the session.
    pub(crate) arn: String,
    pub(crate) session_name: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
    pub(crate) expiration: SimTime,
}

#[derive(Debug)]
struct Session {
    arn: String,
    expires: SimTime,
}

#[derive(Debug, Default)]
pub(crate) struct Roles {
    /// The required external id by ARN.
    trusted: BTreeMap<String, Option<String>>,
    /// The sessions by access key id.
    sessions: BTreeMap<String, Session>,
}

impl Roles {
    pub(crate) fn trust(&mut self, role_arn: &str, external_id: Option<&str>) -> Result<(), AdminError> {
        if account_and_role(role_arn).is_none() {
            return Err(AdminError::Refused(format!("{role_arn} is no ARN of a role")));
        }
        self.trusted.insert(role_arn.to_owned(), external_id.map(str::to_owned));
        Ok(())
    }

    /// Credentials that last as long as the call asks for, but at most `longest`.
    pub(crate) fn assume(
        &mut self,
        wall: SimTime,
        caller: &str,
        ask: &Assume,
        longest: Duration,
    ) -> Result<Assumed, ApiError> {
        let role = &ask.role_arn;
        let trusted = self
            .trusted
            .get(role)
            .is_some_and(|external_id| external_id.is_none() || *external_id == ask.external_id);
        let parts = account_and_role(role).filter(|_| trusted);
        let (account, name) = parts.ok_or_else(|| {
            let action = "sts:AssumeRole";
            let message =
                format!("User: {caller} is not authorized to perform: {action} on resource: {role}");
            ApiError::new("AccessDenied", message)
        })?;
        let number = u64::try_from(self.sessions.len()).unwrap_or(u64::MAX).saturating_add(1);
        let session_name = ask.session_name.clone();
        let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/{session_name}");
        // Temporary keys begin with ASIA. The rest comes from the number, so that a repeated run gives the same keys.
        let access_key_id = format!("ASIA{:016X}", mix(number));
        let expiration = wall.after(ask.duration.min(longest));
        let session = Session { arn: arn.clone(), expires: expiration };
        self.sessions.insert(access_key_id.clone(), session);
        let secret_access_key = format!("{:016x}{:016x}{:08x}", mix(!number), mix(number), number & 0xffff);
        let session_token = format!("FwoGZXIvYXdzE{access_key_id}{:016x}", mix(!number));
        Ok(Assumed {
            account: account.to_owned(),
            arn,
            session_name,
            access_key_id,
            secret_access_key,
            session_token,
            expiration,
        })
    }

    /// The ARN of the caller that signs with this key.
    pub(crate) fn arn_of(&self, access_key_id: &str, account: &str) -> String {
        let user = || format!("arn:aws:iam::{account}:user/{access_key_id}");
        self.sessions.get(access_key_id).map_or_else(user, |session| session.arn.clone())
    }

    pub(crate) fn is_expired(&self, wall: SimTime, access_key_id: &str) -> bool {
        self.sessions.get(access_key_id).is_some_and(|session| session.expires <= wall)
    }
}

/// Reads `arn:aws:iam::<account>:role/<path and name>`. Sessions are named without the path.
pub(crate) fn account_and_role(arn: &str) -> Option<(&str, &str)> {
    let (account, path) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
    let name = path.rsplit('/').next()?;
    (!account.is_empty() && !name.is_empty()).then_some((account, name))
}
