//! What STS does to the cloud, and what the administrator does to STS.

use std::time::Duration;

use super::roles::Answer;
use super::wire::Request;
use crate::ec2::handle::Core;
use crate::ec2::{AdminError, ApiError, Ec2World, SimTime};

impl Core {
    /// Carries out a call. The credentials that it gives belong to the account of the role from now on.
    pub(crate) fn carry_out_sts(
        &mut self,
        access_key_id: &str,
        account: &str,
        request: &Request,
    ) -> Result<Answer, ApiError> {
        let caller = self.roles.arn_of(access_key_id, account);
        let ask = match request {
            Request::GetCallerIdentity => return Ok(Answer::Identity(caller, account.to_owned())),
            Request::AssumeRole(ask) => ask,
        };
        let longest = Duration::from_millis(self.world.settings.credentials_ms);
        let assumed = self.roles.assume(SimTime::wall_clock(), &caller, ask, longest)?;
        self.accounts.insert(assumed.access_key_id.clone(), assumed.account.clone());
        Ok(Answer::Assumed(Box::new(assumed)))
    }
}

/// Roles.
impl Ec2World {
    /// Lets any caller assume a role, with this external id if there is one. A reset forgets the role and its
    /// credentials.
    ///
    /// # Errors
    ///
    /// If the ARN does not name a role.
    pub fn trust_role(&self, role_arn: &str, external_id: Option<&str>) -> Result<(), AdminError> {
        self.core().roles.trust(role_arn, external_id)
    }
}
