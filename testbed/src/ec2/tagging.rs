//! Tags: what a call may set, and how the index follows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{AdminError, ApiError};
use super::index::Slot;
use super::model::{Scope, Tags};
use super::text::check_text;
use super::time::SimTime;
use super::world::World;

/// The limits of EC2: tags of an instance (reserved ones do not count), characters of a key and of a value, instances
/// of one call.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
const MAX_IDS: usize = 1_000;
/// Keys with this prefix belong to AWS.
const RESERVED: &str = "aws:";

/// A tag as a call names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagArgument {
    /// Its key.
    pub key: String,
    /// Its value. If a call removes a tag with a value, the tag is removed only if it has exactly that value.
    pub value: Option<String>,
}

/// The two calls that change tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagCall {
    Create,
    Delete,
}

impl World {
    /// Sets or removes tags on all of the instances, or on none if one refuses.
    pub(crate) fn tag_call(
        &mut self,
        now: SimTime,
        scope: &Scope,
        (call, dry_run): (TagCall, bool),
        ids: &[String],
        arguments: &[TagArgument],
    ) -> Result<(), ApiError> {
        check_ids(ids)?;
        check_arguments(call, arguments)?;
        let slots = self.resolve(scope, now, ids)?;
        let after = slots.iter().filter_map(|slot| {
            let before = self.instances.get(slot)?.tags.at(now).1;
            let mut tags = Tags::clone(before);
            match call {
                TagCall::Create => create(&mut tags, arguments),
                TagCall::Delete => delete(&mut tags, arguments),
            }
            Some((*slot, tags))
        });
        let after: Vec<(Slot, Tags)> = after.collect();
        let full = |tags: &Tags| tags.keys().filter(|key| !key.starts_with(RESERVED)).count() > MAX_TAGS;
        if call == TagCall::Create && after.iter().any(|(_, tags)| full(tags)) {
            let message = "The maximum number of Tags for a resource has been reached.";
            return Err(ApiError::new("TagLimitExceeded", message));
        }
        if dry_run {
            return Err(ApiError::would_have_succeeded());
        }
        for (slot, tags) in after {
            self.retag(now, slot, tags);
        }
        Ok(())
    }

    /// Sets and removes tags as a third party would, without the limits of the API.
    pub(crate) fn force_tags(
        &mut self,
        now: SimTime,
        ids: &[String],
        set: &Tags,
        remove: &[String],
    ) -> Result<(), AdminError> {
        for text in set.iter().flat_map(|(key, value)| [key, value]) {
            check_text(text).map_err(|error| AdminError::Refused(error.message))?;
        }
        for slot in self.known(now, ids)? {
            let Some(instance) = self.instances.get(&slot) else {
                continue;
            };
            let mut tags = Tags::clone(instance.tags.at(now).1);
            tags.retain(|key, _| !remove.contains(key));
            tags.extend(set.clone());
            self.retag(now, slot, tags);
        }
        Ok(())
    }

    fn retag(&mut self, now: SimTime, slot: Slot, tags: Tags) {
        let horizon = now.before(self.settings.lag());
        let Some(instance) = self.instances.get_mut(&slot) else {
            return;
        };
        let Some(index) = self.scopes.get_mut(&instance.scope) else {
            return;
        };
        if **instance.tags.at(now).1 == tags {
            return;
        }
        let before: Vec<Arc<Tags>> = instance.tags.values().cloned().collect();
        index.add(slot, &tags);
        instance.tags.change(now, Arc::new(tags));
        instance.tags.forget_before(horizon);
        for (key, value) in before.iter().flat_map(|tags| tags.iter()) {
            if !instance.tags.values().any(|tags| tags.get(key) == Some(value)) {
                index.remove_tag(slot, key, value);
            }
        }
    }
}

fn create(tags: &mut Tags, arguments: &[TagArgument]) {
    tags.extend(arguments.iter().map(|tag| (tag.key.clone(), tag.value.clone().unwrap_or_default())));
}

fn delete(tags: &mut Tags, arguments: &[TagArgument]) {
    if arguments.is_empty() {
        // In EC2, a call without tags removes all tags except the reserved ones.
        tags.retain(|key, _| key.starts_with(RESERVED));
    }
    for argument in arguments {
        let found = tags.get(&argument.key);
        if found.is_some_and(|found| argument.value.as_ref().is_none_or(|value| value == found)) {
            tags.remove(&argument.key);
        }
    }
}

fn check_ids(ids: &[String]) -> Result<(), ApiError> {
    if ids.is_empty() {
        return Err(ApiError::new(
            "MissingParameter",
            "The request must contain the parameter resourceIdSet",
        ));
    }
    if ids.len() > MAX_IDS {
        return Err(ApiError::invalid_value(format!(
            "The maximum number of resources in one call is {MAX_IDS}"
        )));
    }
    match ids.iter().find(|id| !id.starts_with("i-")) {
        Some(id) => Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid"))),
        None => Ok(()),
    }
}

fn check_arguments(call: TagCall, arguments: &[TagArgument]) -> Result<(), ApiError> {
    if call == TagCall::Create && arguments.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter tagSet"));
    }
    let mut keys = std::collections::BTreeSet::new();
    for TagArgument { key, value } in arguments {
        check_text(key)?;
        check_text(value.as_deref().unwrap_or_default())?;
        if key.starts_with(RESERVED) {
            let message = format!(
                "Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use"
            );
            return Err(ApiError::invalid_value(message));
        }
        if key.is_empty() || key.chars().count() > MAX_KEY {
            let message = format!("Tag key must have a length from 1 to {MAX_KEY} characters");
            return Err(ApiError::invalid_value(message));
        }
        if value.as_ref().is_some_and(|value| value.chars().count() > MAX_VALUE) {
            let message = format!("Tag value exceeds the maximum length of {MAX_VALUE} characters");
            return Err(ApiError::invalid_value(message));
        }
        if call == TagCall::Create && value.is_none() {
            return Err(ApiError::invalid_value("Tag value cannot be null. Use empty string instead."));
        }
        if !keys.insert(key) {
            return Err(ApiError::invalid_value(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    Ok(())
}
