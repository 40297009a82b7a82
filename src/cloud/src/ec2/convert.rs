//! Converts the SDK's types.

use aws_sdk_ec2::types::{Instance as SdkInstance, InstanceState as SdkState};

use crate::provider::{Instance, InstanceState};

/// A machine. None if it has no id. A state that EC2 does not document counts as terminated, so nothing is done to it.
pub(super) fn instance(sdk: &SdkInstance) -> Option<Instance> {
    let id = sdk.instance_id()?.to_owned();
    let code = sdk.state().and_then(SdkState::code).unwrap_or(48);
    let tags = sdk
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect();
    let state_reason = sdk.state_reason().and_then(|reason| match (reason.code(), reason.message()) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message).map(ToOwned::to_owned),
    });
    Some(Instance { id, state: state(code), state_reason, tags, ..Instance::default() })
}

/// The id of a machine, and its zone and type in one word.
pub(super) fn zone_and_type(sdk: &SdkInstance) -> Option<(String, String)> {
    let zone = sdk.placement().and_then(|placement| placement.availability_zone()).unwrap_or_default();
    let kind = sdk.instance_type().map_or("", |kind| kind.as_str());
    Some((sdk.instance_id()?.to_owned(), format!("{zone}/{kind}")))
}

/// The state that a code stands for. EC2 uses the high byte of the code itself.
fn state(code: i32) -> InstanceState {
    match code & 0xff {
        0 => InstanceState::Pending,
        16 => InstanceState::Running,
        64 => InstanceState::Stopping,
        80 => InstanceState::Stopped,
        _ => InstanceState::Terminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_byte_of_a_state_code_is_masked() {
        let table = [
            (0, InstanceState::Pending),
            (16, InstanceState::Running),
            (256 + 16, InstanceState::Running),
            (32, InstanceState::Terminated),
            (48, InstanceState::Terminated),
            (64, InstanceState::Stopping),
            (80, InstanceState::Stopped),
            (7, InstanceState::Terminated),
        ];
        for (code, expected) in table {
            assert_eq!(state(code), expected, "{code}");
        }
    }
}
