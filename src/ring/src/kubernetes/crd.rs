//! The kind `Ring`, and the policy that prevents a deletion of rings by mistake.

#![allow(clippy::duplicated_attributes, reason = "printer columns repeat the keys of their attributes")]

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec, Validation,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{CustomResource, CustomResourceExt, KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ranges;

/// The API group.
pub const GROUP: &str = "manager.kotaico.de";
/// The largest number of members that a ring lists. Each adds about 100 bytes to an object that may have 1.5 MB.
pub const MEMBERS_MAX: usize = 1000;
/// The annotation that allows the deletion of a ring, if its value is `true`.
pub const ALLOW_DELETION: &str = "manager.kotaico.de/allow-deletion";
/// The name of the policy and of its binding.
const POLICY: &str = "ring-deletion.manager.kotaico.de";

const FORWARD_ONLY: [(&str, &str); 2] = [
    ("!has(oldSelf.status) || has(self.status)", "a status that is there may not vanish"),
    (
        "!has(oldSelf.status) || !has(oldSelf.status.epoch) || !has(self.status) || \
         (has(self.status.epoch) && self.status.epoch >= oldSelf.status.epoch)",
        "the epoch may not shrink",
    ),
];

/// What all replicas must agree on from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "manager.kotaico.de",
    version = "v1",
    kind = "Ring",
    root = "RingCrd",
    doc = "A Ring says which replica of the operator works on what. Each key belongs to one of the ring's slots, and \
           each slot to one replica. The operator creates and writes it; it is for reading, and must not be deleted \
           while the operator runs.",
    namespaced,
    status = "RingStatus",
    shortname = "bring",
    category = "booking-operator",
    printcolumn(name = "LEADER", json_path = ".status.leader", type_ = "string"),
    printcolumn(name = "EPOCH", json_path = ".status.epoch", type_ = "integer"),
    printcolumn(name = "MEMBERS", json_path = ".status.size", type_ = "integer"),
    printcolumn(name = "SLOTS", json_path = ".status.distribution", type_ = "string"),
    printcolumn(name = "MOVING", json_path = ".status.moving", type_ = "integer"),
    printcolumn(name = "AGE", json_path = ".metadata.creationTimestamp", type_ = "date")
)]
pub struct RingSpec {
    /// Number of slots that all keys are divided into. Immutable: with another number every key would
    /// belong to another slot.
    #[schemars(range(min = 1, max = 4096))]
    #[x_kube(validation = immutable())]
    pub slots: u16,

    /// Name of the hash function from keys to slots. Immutable. A replica that does not know it stays
    /// out.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = immutable())]
    pub hash: String,
}

/// The owner of each slot, as the members agreed on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct RingStatus {
    /// The protocol that the members speak to each other: the highest that all of them know.
    #[serde(default)]
    pub protocol: u32,

    /// Grows with every change of the fields beside it. It never shrinks.
    #[serde(default)]
    pub epoch: u64,

    /// Whether slots may have owners. A new ring is closed until no owner of an earlier one can be left.
    #[serde(default)]
    pub open: bool,

    /// The member that planned last.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,

    /// Number of members.
    #[serde(default)]
    pub size: u32,

    /// How many slots each member owns, in short.
    #[schemars(length(max = 1024))]
    #[serde(default)]
    pub distribution: String,

    /// Number of slots under way from one member to another.
    #[serde(default)]
    pub moving: u32,

    /// The members, and those that have left and still own slots.
    #[schemars(length(max = "MEMBERS_MAX"))]
    #[serde(default)]
    pub members: Vec<RingMember>,

    /// The slots under way.
    #[schemars(length(max = 4096))]
    #[serde(default)]
    pub moves: Vec<RingMove>,
}

/// One incarnation of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RingMember {
    /// Its name: the name of its Pod and a random part that changes with each start. Its Lease has the
    /// same name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The release that it runs. Absent: it is no member any more, and its slots wait to be given away.
    #[schemars(length(max = 256))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,

    /// How many slots it owns.
    #[serde(default)]
    pub slots: u32,

    /// The slots that it owns, for example 0-63,128-191. Those under way to another member are among
    /// them.
    #[schemars(length(max = "ranges::TEXT_MAX"))]
    #[serde(default)]
    pub owns: String,
}

/// Slots on their way from one member to another. The first still owns them, but takes no new work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RingMove {
    /// The slots, for example 3-9.
    #[schemars(length(max = "ranges::TEXT_MAX"))]
    pub slots: String,

    /// The member that hands them over.
    #[schemars(length(max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,

    /// The member that gets them.
    #[schemars(length(min = 1, max = 253))]
    pub to: String,

    /// The epoch that began the move.
    #[serde(default)]
    pub since: u64,
}

fn immutable() -> Rule {
    Rule::new("self == oldSelf").message("is immutable: replicas would disagree on who works on what")
}

/// The definition of the kind.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = RingCrd::crd();
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            tidy(root);
            root.title = None;
            root.x_kubernetes_validations = Some(FORWARD_ONLY.map(forward_only).into());
        }
    }
    crd
}

fn forward_only((rule, message): (&str, &str)) -> ValidationRule {
    ValidationRule {
        rule: rule.to_owned(),
        message: Some(message.to_owned()),
        field_path: Some(".status".to_owned()),
        ..ValidationRule::default()
    }
}

/// Tidies a schema: no field is nullable or has a default, and Kubernetes has no formats of
/// unsigned numbers.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if schema.format.take_if(|format| format.starts_with("uint")).is_some() {
        schema.format = Some("int64".to_owned());
        schema.minimum.get_or_insert(0.0);
        schema.maximum.take_if(|maximum| *maximum > 4096.0);
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

/// The policy that refuses the deletion of a ring, and its binding for the whole cluster. A ring with the annotation
/// [`ALLOW_DELETION`] may be deleted. A ring whose namespace is being deleted may be deleted, too.
pub fn deletion_policy() -> (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding) {
    let metadata = ObjectMeta { name: Some(POLICY.to_owned()), ..ObjectMeta::default() };
    let policy = ValidatingAdmissionPolicy {
        metadata: metadata.clone(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                resource_rules: Some(vec![NamedRuleWithOperations {
                    api_groups: Some(vec![GROUP.to_owned()]),
                    api_versions: Some(vec!["*".to_owned()]),
                    operations: Some(vec!["DELETE".to_owned()]),
                    resources: Some(vec!["rings".to_owned()]),
                    ..NamedRuleWithOperations::default()
                }]),
                ..MatchResources::default()
            }),
            validations: Some(vec![Validation {
                expression: may_be_deleted(),
                message: Some(format!(
                    "deleting a ring makes every replica begin anew; if that is meant, annotate it with {ALLOW_DELETION}=true"
                )),
                reason: Some("Forbidden".to_owned()),
                ..Validation::default()
            }]),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    };
    let binding = ValidatingAdmissionPolicyBinding {
        metadata,
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(POLICY.to_owned()),
            validation_actions: Some(vec!["Deny".to_owned()]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        }),
    };
    (policy, binding)
}

fn may_be_deleted() -> String {
    format!(
        "(has(oldObject.metadata.annotations) && '{ALLOW_DELETION}' in oldObject.metadata.annotations && \
         oldObject.metadata.annotations['{ALLOW_DELETION}'] == 'true') || \
         (namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> JSONSchemaProps {
        crd().spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap()
    }

    fn walk(path: &str, schema: &JSONSchemaProps, check: &mut impl FnMut(&str, &JSONSchemaProps)) {
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            check(&path, property);
            walk(&path, property, check);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            walk(path, items, check);
        }
    }

    #[test]
    fn every_field_is_described_bounded_and_of_a_known_format() {
        let mut fields = 0;
        walk("", &root(), &mut |path, schema| {
            fields += 1;
            assert!(schema.description.as_ref().is_some_and(|text| !text.is_empty()), "{path}");
            match schema.type_.as_deref() {
                Some("string") => assert!(schema.max_length.is_some(), "{path}"),
                Some("array") => assert!(schema.max_items.is_some(), "{path}"),
                Some("integer") => {
                    assert_eq!(schema.format.as_deref(), Some("int64"), "{path}");
                    assert!(schema.minimum.is_some(), "{path}");
                }
                Some("boolean" | "object") => {}
                other => panic!("{path}: {other:?}"),
            }
        });
        assert_eq!(fields, 21);
    }

    #[test]
    fn the_names_collide_with_no_other_word_for_a_kind() {
        let names = crd().spec.names;
        assert_eq!((names.plural.as_str(), names.singular.as_deref()), ("rings", Some("ring")));
        assert_eq!(names.short_names, Some(vec!["bring".to_owned()]));
        assert_eq!(names.categories, Some(vec!["booking-operator".to_owned()]));
    }

    #[test]
    fn a_ring_cannot_be_without_spec_and_its_spec_lacks_nothing() {
        let root = root();
        assert_eq!(root.required.as_deref(), Some(&["spec".to_owned()][..]));
        let spec = &root.properties.as_ref().unwrap()["spec"];
        assert_eq!(spec.required.as_deref(), Some(&["hash".to_owned(), "slots".to_owned()][..]));
        assert_eq!(spec.properties.as_ref().unwrap()["slots"].maximum, Some(4096.0));
    }
}
