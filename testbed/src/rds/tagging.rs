//! Tags of databases: fewer characters are allowed than in tags of EC2.

use super::arn::Arn;
use super::databases::{Databases, not_found};
use crate::ec2::text::check_text;
use crate::ec2::{AdminError, ApiError, Scope, TagArgument, Tags};

/// The limits of RDS: tags of a database (reserved ones do not count), characters of a key and of a value.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
/// Keys with this prefix belong to AWS.
const RESERVED: &str = "aws:";

impl Databases {
    pub(crate) fn add_tags(
        &mut self,
        scope: &Scope,
        name: &str,
        tags: &[TagArgument],
    ) -> Result<(), ApiError> {
        for tag in tags {
            check(tag)?;
        }
        let (arn, mut after) = self.tagged(scope, name)?;
        after.extend(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone().unwrap_or_default())));
        if after.keys().filter(|key| !key.starts_with(RESERVED)).count() > MAX_TAGS {
            let message = format!("A resource can't have more than {MAX_TAGS} tags");
            return Err(ApiError::invalid_value(message));
        }
        self.retag(&arn, after);
        Ok(())
    }

    /// Removes tags. It is no error if there is no tag with a key.
    pub(crate) fn delete_tags(&mut self, scope: &Scope, name: &str, keys: &[String]) -> Result<(), ApiError> {
        if let Some(key) = keys.iter().find(|key| key.starts_with(RESERVED)) {
            return Err(reserved(key));
        }
        let (arn, mut after) = self.tagged(scope, name)?;
        after.retain(|key, _| !keys.contains(key));
        self.retag(&arn, after);
        Ok(())
    }

    /// The database that a call names by its ARN, with its tags. The ARN must be in the caller's own scope.
    pub(crate) fn tagged(&self, scope: &Scope, name: &str) -> Result<(Arn, Tags), ApiError> {
        let invalid = || ApiError::invalid_value(format!("Invalid resource name: {name}"));
        let arn = Arn::parse(name).ok_or_else(invalid)?;
        match self.tags(&arn).filter(|_| arn.scope == *scope).cloned() {
            Some(tags) => Ok((arn, tags)),
            None => Err(not_found(&arn)),
        }
    }

    fn retag(&mut self, arn: &Arn, after: Tags) {
        if let Some(tags) = self.tags_mut(arn) {
            *tags = after;
        }
    }

    /// Sets and removes tags as a third party would, without the limits of the API.
    pub(crate) fn force_tags(&mut self, name: &str, set: &Tags, remove: &[String]) -> Result<(), AdminError> {
        for text in set.iter().flat_map(|(key, value)| [key, value]) {
            check_text(text).map_err(|error| AdminError::Refused(error.message))?;
        }
        let arn = self.known(name)?;
        if let Some(tags) = self.tags_mut(&arn) {
            tags.retain(|key, _| !remove.contains(key));
            tags.extend(set.clone());
        }
        Ok(())
    }
}

fn check(TagArgument { key, value }: &TagArgument) -> Result<(), ApiError> {
    let value = value.as_deref().unwrap_or_default();
    if key.starts_with(RESERVED) {
        return Err(reserved(key));
    }
    if key.is_empty() || key.chars().count() > MAX_KEY {
        let message = format!("Tag keys must have a length from 1 to {MAX_KEY} characters");
        return Err(ApiError::invalid_value(message));
    }
    if value.chars().count() > MAX_VALUE {
        let message = format!("Tag values can't have more than {MAX_VALUE} characters");
        return Err(ApiError::invalid_value(message));
    }
    match key.chars().chain(value.chars()).find(|c| !is_allowed(*c)) {
        Some(c) => {
            let message = format!(
                "Tag keys and values can't contain the character U+{:04X}, only letters, digits, white-space, \
                 '_', '.', ':', '/', '=', '+', '-' and '@'",
                u32::from(c)
            );
            Err(ApiError::invalid_value(message))
        }
        None => Ok(()),
    }
}

fn reserved(key: &str) -> ApiError {
    ApiError::invalid_value(format!("Tag keys starting with 'aws:' are reserved for internal use: {key}"))
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() && !c.is_control() || "_.:/=+-@".contains(c)
}
