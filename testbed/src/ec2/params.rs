//! The parameters of a call to any service.

use std::collections::BTreeMap;

use super::error::ApiError;

/// The parameters of a call.
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the parameters from a form.
    pub(crate) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The refusal of RDS and STS for an unknown action.
    pub(crate) fn no_such_operation(&self, action: &str) -> ApiError {
        let version = self.text("Version").unwrap_or_default();
        ApiError::new("InvalidAction", format!("Could not find operation {action} for version {version}"))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of `name.1`, `name.2` and so on, by number.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = |index| self.text(&format!("{name}.{index}"));
        self.indices(name).into_iter().filter_map(text).map(str::to_owned).collect()
    }

    /// The numbers that are used after `name.`, in order.
    pub(crate) fn indices(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{name}.");
        let named =
            self.0.range(prefix.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&prefix));
        let number = |key: &String| key.get(prefix.len()..)?.split('.').next()?.parse().ok();
        let mut indices: Vec<u32> = named.filter_map(number).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }
}
