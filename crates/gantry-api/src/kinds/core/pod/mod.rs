//! Pod. Its rules are spread over the files beside this one; `validate.rs` is the place to start.

mod columns;
mod container;
mod default;
mod disabled;
mod handlers;
mod mounts;
mod os;
mod overlaps;
mod references;
mod resources;
mod scheduling;
mod security;
mod sources;
mod status;
#[cfg(test)]
mod tests;
mod update;
mod validate;
mod volume;
mod warnings;

pub use default::template as default_template;
pub use disabled::drop_disabled;
pub use container::overhead as validate_overhead;
pub use scheduling::{node_selector, taint_effect, tolerations};
pub use sources::{access_modes, default as default_volume_source, csi_driver_name, secret_in_namespace, source as volume_source, volume_mode};
pub use warnings::{of_owner_name as owner_name_warning, of_template as template_warnings};
pub use validate::{owner_of_pods, pods_selected, replicas_status, runs_forever, template as validate_template};

use crate::field::Error;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::{selectable, usual};
use crate::kinds::values::{given, keep, number, same, size, text};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["po".into()],
        categories: vec!["all".into()],
        returns_deleted: true,
        subresources: vec![
            Subresource::Attach,
            Subresource::Binding,
            Subresource::EphemeralContainers,
            Subresource::Eviction,
            Subresource::Exec,
            Subresource::Log,
            Subresource::PortForward,
            Subresource::Proxy,
            Subresource::Resize,
            Subresource::Status,
        ],
        selectable_fields: selectable(&[
            ("spec.nodeName", "spec.nodeName"),
            ("spec.restartPolicy", "spec.restartPolicy"),
            ("spec.schedulerName", "spec.schedulerName"),
            ("spec.serviceAccountName", "spec.serviceAccountName"),
            ("spec.hostNetwork", "spec.hostNetwork"),
            ("status.phase", "status.phase"),
            ("status.podIP", "status.podIP"),
            ("status.podIPs", "status.podIPs.0.ip"),
            ("status.nominatedNodeName", "status.nominatedNodeName"),
        ]),
        columns: columns::columns(),
        hooks: Box::new(PodHooks),
        ..usual("", "Pod", "pods", Scope::Namespaced)
    }
}

struct PodHooks;

impl Hooks for PodHooks {
    fn warnings(&self, object: &Value, _: Option<&Value>) -> Vec<String> {
        warnings::of_pod(object)
    }

    fn default(&self, object: &mut Value) {
        default::pod(object);
        // Of a pod alone: templates keep what they say.
        if number(&object["spec"]["terminationGracePeriodSeconds"]) < 0 {
            object["spec"]["terminationGracePeriodSeconds"] = 1.into();
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        drop_disabled(object, None, "/spec");
        object["metadata"]["generation"] = 1.into();
        object["status"] = json!({"phase": "Pending", "qosClass": resources::qos_class(&object["spec"])});
        if size(&object["spec"]["schedulingGates"]) > 0 {
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates", "lastProbeTime": null,
                "lastTransitionTime": object["metadata"]["creationTimestamp"],
            }]);
        }
        scheduling::merge_label_keys(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        drop_disabled(object, Some(old), "/spec");
        if !same(&object["spec"], &old["spec"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        match subresource {
            Subresource::Status => status::prepare(object, old),
            Subresource::EphemeralContainers => {
                let new = object["spec"]["ephemeralContainers"].take();
                keep(object, old, "spec");
                keep(object, old, "status");
                update::keep_metadata(object, old);
                if given(&new) {
                    object["spec"]["ephemeralContainers"] = new;
                }
            }
            Subresource::Resize => {
                update::only_resources(object, old);
                keep(object, old, "status");
                update::keep_metadata(object, old);
            }
            _ => {}
        }
        self.prepare_update(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate::pod(object)
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        validate::new_pod(&mut errors, object);
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        update::ordinary(object, old)
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        match subresource {
            Subresource::Status => status::validate(object, old),
            Subresource::EphemeralContainers => update::ephemeral_containers(object, old),
            Subresource::Resize => update::resize(object, old),
            _ => Vec::new(),
        }
    }

    fn grace_period(&self, object: &Value) -> Option<i64> {
        let unbound = text(&object["spec"]["nodeName"]).is_empty();
        let finished = matches!(text(&object["status"]["phase"]), "Succeeded" | "Failed");
        let own = number(&object["spec"]["terminationGracePeriodSeconds"]);
        Some(match unbound || finished {
            true => 0,
            false if own < 0 => 1,
            false => own,
        })
    }
}
