//! The built-in kinds, one file each. To add one, write its file and name it in the list below.

mod admission_rules;
mod checks;
pub mod columns;
mod conditions;
mod devices;
mod diff;
mod expressions;
mod pod_groups;
mod resource_names;
mod signer_name;
mod values;

pub use self::core::service::cluster_addresses as service_addresses;
pub use apiextensions::custom_resource_definition::{FINALIZER as DEFINITION_FINALIZER, set_condition};
pub use checks::selects;
pub(crate) use checks::{annotations, format, labels};
pub use columns::label_selector;

use crate::kind::{Kind, NoHooks, Scope};
use crate::version;
use columns::{age_column, name_column};
use serde_json::Value;
use smol_str::SmolStr;
use values::{number, same};

macro_rules! kinds {
    ($($group:ident { $($kind:ident),* $(,)? })*) => {
        $(mod $group { $(pub mod $kind;)* })*

        /// All built-in kinds, in every version served.
        pub fn builtin() -> Vec<Kind> {
            let files: &[fn() -> Kind] = &[$($($group::$kind::kind,)*)*];
            files.iter().flat_map(|kind| version::all(*kind)).collect()
        }

        #[cfg(test)]
        const LISTED: &[&str] = &[$($(concat!(stringify!($group), "/", stringify!($kind), ".rs"),)*)*];
    };
}

kinds! {
    core {
        config_map, endpoints, event, limit_range, namespace, node, persistent_volume, persistent_volume_claim, pod,
        pod_template, replication_controller, resource_quota, secret, service, service_account,
    }
    admissionregistration {
        mutating_admission_policy, mutating_admission_policy_binding, mutating_webhook_configuration,
        validating_admission_policy, validating_admission_policy_binding, validating_webhook_configuration,
    }
    apiextensions { custom_resource_definition }
    apiregistration { api_service }
    apps { controller_revision, daemon_set, deployment, replica_set, stateful_set }
    autoscaling { horizontal_pod_autoscaler }
    batch { cron_job, job }
    certificates { certificate_signing_request, cluster_trust_bundle, pod_certificate_request }
    coordination { lease, lease_candidate }
    discovery { endpoint_slice }
    events { event }
    flowcontrol { flow_schema, priority_level_configuration }
    internal_apiserver { storage_version }
    networking { ingress, ingress_class, ip_address, network_policy, service_cidr }
    node { runtime_class }
    policy { pod_disruption_budget }
    rbac { cluster_role, cluster_role_binding, role, role_binding }
    resource {
        device_class, device_taint_rule, resource_claim, resource_claim_template, resource_pool_status_request,
        resource_slice,
    }
    scheduling { pod_group, priority_class, workload }
    storage {
        csi_driver, csi_node, csi_storage_capacity, storage_class, volume_attachment, volume_attributes_class,
    }
    storagemigration { storage_version_migration }
}

/// A kind with the usual names, the name and age columns, and no behaviour; its file changes what differs.
fn usual(group: &str, kind: &str, plural: &str, scope: Scope) -> Kind {
    Kind {
        group: group.into(),
        version: "v1".into(),
        deprecation: None,
        feature: None,
        other_versions: Vec::new(),
        kind: kind.into(),
        plural: plural.into(),
        list_kind: smol_str::format_smolstr!("{kind}List"),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        verbs: crate::kind::STORED,
        storage_prefix: plural.into(),
        returns_deleted: false,
        subresources: Vec::new(),
        status_alone: false,
        selectable_fields: Vec::new(),
        columns: vec![name_column(), age_column()],
        custom: None,
        hooks: Box::new(NoHooks),
    }
}

/// Fields that clients may select by, and the paths they read.
fn selectable(fields: &[(&'static str, &'static str)]) -> Vec<(SmolStr, SmolStr)> {
    fields
        .iter()
        .map(|(label, path)| (SmolStr::new_static(label), SmolStr::new_static(path)))
        .collect()
}

/// Starts the generation, and takes no status from a client.
fn start_generation(object: &mut Value) {
    object["metadata"]["generation"] = 1.into();
    object["status"] = Value::Object(serde_json::Map::new());
}

/// Counts the generation up when the spec changes.
fn count_generation(object: &mut Value, old: &Value) {
    if !same(&object["spec"], &old["spec"]) {
        object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is not in the list is not even compiled.
    #[test]
    fn every_file_is_listed() {
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds");
        let folders = std::fs::read_dir(&here).unwrap().map(|e| e.unwrap().path());
        for group in folders.filter(|path| path.is_dir()) {
            for file in std::fs::read_dir(&group).unwrap().map(|e| e.unwrap().path()) {
                let name = file.strip_prefix(&here).unwrap().to_str().unwrap();
                assert!(file.is_dir() || LISTED.contains(&name), "{name} is in no list");
            }
        }
    }

    #[test]
    fn every_kind_is_in_order() {
        for kind in builtin() {
            assert!(kind.schema().is_some(), "{} has no schema", kind.kind);
            let names = kind
                .columns
                .iter()
                .filter(|c| c.name == "Name" && c.format == "name")
                .count();
            assert_eq!(names, 1, "{}", kind.kind);
        }
    }
}
