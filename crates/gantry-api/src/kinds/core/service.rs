//! Service

use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::{age_column, column, default_to, name_column, usual};
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["svc".into()],
        categories: vec!["all".into()],
        storage_prefix: "services/specs".into(),
        subresources: vec![Subresource::Proxy, Subresource::Status],
        selectable_fields: vec![("spec.clusterIP", "spec.clusterIP"), ("spec.type", "spec.type")],
        columns: vec![name_column(), column("Type", "string", |o, _| o["spec"]["type"].clone()), age_column()],
        hooks: Box::new(ServiceHooks),
        ..usual("", "Service", "services", Scope::Namespaced)
    }
}

struct ServiceHooks;

impl Hooks for ServiceHooks {
    fn default(&self, object: &mut Value) {
        let spec = &mut object["spec"];
        default_to(spec, "type", "ClusterIP");
        default_to(spec, "sessionAffinity", "None");
        default_to(spec, "internalTrafficPolicy", "Cluster");
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            default_to(port, "protocol", "TCP");
            let same = port["port"].clone();
            default_to(port, "targetPort", same);
        }
    }
}
