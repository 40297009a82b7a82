//! The CustomResourceDefinitions, generated from the types.
//!
//! This module adds what the derive cannot express: which fields the API server requires, and that no field is
//! nullable. The Rust types require no field, so that every stored object can be decoded.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::api::admission;
pub use crate::api::{
    booking::BookingCrd, monitor::ResourceMonitorCrd, resource::ResourceCrd, scheduler::BookingSchedulerCrd,
};

/// Required fields by kind and path. Do not add an entry for a field that older stored objects may lack: such an
/// object could then neither be edited nor lose its finalizer.
const REQUIRED: [(&str, &str, &[&str]); 6] = [
    ("Booking", "spec", &["end_at", "resource_name", "start_at", "user_id"]),
    ("Booking", "spec.notifications", &["recipient", "type"]),
    ("BookingScheduler", "spec.bookingTemplate", &["resource_name", "user_id"]),
    ("BookingScheduler", "spec.bookingTemplate.notifications", &["recipient", "type"]),
    ("Resource", "spec", &["tag", "type"]),
    ("ResourceMonitor", "spec", &["type"]),
];

/// All CRDs of the operator, in the order of their names.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds =
        [BookingCrd::crd(), BookingSchedulerCrd::crd(), ResourceMonitorCrd::crd(), ResourceCrd::crd()];
    crds.iter_mut().for_each(finish);
    crds.into()
}

fn finish(crd: &mut CustomResourceDefinition) {
    let kind = crd.spec.names.kind.clone();
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.required = None;
        root.title = None;
        tidy(root);
        root.x_kubernetes_validations.get_or_insert_default().push(admission::spec_stays());
        // One manager writes the status as a whole. If field managers were recorded per leaf, they would be half of
        // the object's text. The API server stores that text, keeps it in memory and sends it to each watch.
        if let Some(status) = descend(root, "status") {
            status.x_kubernetes_map_type = Some("atomic".into());
        }
        for (_, path, fields) in REQUIRED.iter().filter(|(of, ..)| *of == kind) {
            if let Some(schema) = descend(root, path) {
                schema.required = Some(fields.iter().map(ToString::to_string).collect());
            }
        }
    }
}

/// The schema at a dotted path of properties. An array in the path stands for its items.
fn descend<'a>(root: &'a mut JSONSchemaProps, path: &str) -> Option<&'a mut JSONSchemaProps> {
    path.split('.').try_fold(root, |schema, name| {
        let found = schema.properties.as_mut()?.get_mut(name)?;
        Some(match found.items {
            Some(JSONSchemaPropsOrArray::Schema(_)) => match &mut found.items {
                Some(JSONSchemaPropsOrArray::Schema(items)) => items,
                _ => return None,
            },
            _ => found,
        })
    })
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(description) = &mut schema.description {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    for property in schema.properties.iter_mut().flat_map(|map| map.values_mut()) {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_path_names_fields_that_exist() {
        let mut crds = all();
        for (kind, path, fields) in REQUIRED {
            let crd = crds.iter_mut().find(|crd| crd.spec.names.kind == kind).unwrap();
            let root = crd.spec.versions[0].schema.as_mut().unwrap();
            let schema = descend(root.open_api_v3_schema.as_mut().unwrap(), path).unwrap();
            for field in fields {
                assert!(schema.properties.as_ref().unwrap().contains_key(*field), "{kind} {path}.{field}");
            }
        }
    }

    #[test]
    fn every_field_a_user_can_see_has_a_description() {
        fn walk(path: &str, schema: &JSONSchemaProps) {
            for (name, property) in schema.properties.iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(property.description.as_ref().is_some_and(|d| !d.is_empty()), "{path}");
                walk(&path, property);
            }
        }
        for crd in all() {
            let schema = crd.spec.versions[0].schema.as_ref().unwrap();
            walk(&crd.spec.names.kind, schema.open_api_v3_schema.as_ref().unwrap());
        }
    }

    #[test]
    fn every_text_of_a_spec_is_bounded_by_what_a_rule_can_match() {
        fn walk(path: &str, schema: &JSONSchemaProps) {
            if schema.type_.as_deref() == Some("string") && schema.enum_.is_none() {
                let bound = i64::from(admission::TEXT_MAX_LENGTH);
                assert!(schema.max_length.is_some_and(|length| length <= bound), "{path}");
            }
            for (name, property) in schema.properties.iter().flatten() {
                walk(&format!("{path}.{name}"), property);
            }
            if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
                walk(&format!("{path}[]"), items);
            }
        }
        for mut crd in all() {
            let root = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
            walk(&crd.spec.names.kind, descend(root, "spec").unwrap());
        }
    }

    #[test]
    fn no_category_or_short_name_equals_a_name_of_a_kind() {
        let crds = all();
        let names: Vec<String> = crds
            .iter()
            .flat_map(|crd| [Some(crd.spec.names.plural.clone()), crd.spec.names.singular.clone()])
            .flatten()
            .collect();
        for crd in &crds {
            let added = crd.spec.names.categories.iter().chain(&crd.spec.names.short_names);
            for word in added.flatten() {
                assert!(!names.contains(word), "{word}");
            }
        }
    }
}
