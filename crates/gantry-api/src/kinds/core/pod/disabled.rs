//! Fields of features that are off: they are dropped unless the old object has them.
//!
//! Source: dropDisabledFields in pkg/api/pod/util.go.

use crate::features::{Feature, enabled};
use crate::kinds::values::{field_mut, given, list, list_mut, remove, size};
use serde_json::Value;

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Sources of projected volumes, and their features.
const SOURCES: [(&str, Feature); 2] = [
    ("clusterTrustBundle", Feature::ClusterTrustBundleProjection),
    ("podCertificate", Feature::PodCertificateRequest),
];

/// Drops such fields of the pod spec that stands at the JSON pointer `at` of an object and of its old state.
pub fn drop_disabled(object: &mut Value, old: Option<&Value>, at: &str) {
    let old = old.and_then(|old| old.pointer(at)).unwrap_or(&Value::Null);
    let Some(spec) = object.pointer_mut(at) else {
        return;
    };
    for (source, _) in SOURCES.iter().filter(|(source, feature)| !enabled(*feature) && !projects(old, source)) {
        for volume in list_mut(spec, "volumes") {
            if let Some(projected) = field_mut(volume, "projected") {
                for held in list_mut(projected, "sources") {
                    remove(held, source);
                }
            }
        }
    }
    if !enabled(Feature::GenericWorkload) && !given(&old["schedulingGroup"]) {
        remove(spec, "schedulingGroup");
    }
    if !enabled(Feature::ContainerStopSignals) && !has_stop_signal(old) {
        for field in CONTAINERS {
            list_mut(spec, field).iter_mut().for_each(drop_stop_signal);
        }
    }
}

fn projects(spec: &Value, source: &str) -> bool {
    let mut sources = list(&spec["volumes"]).iter().flat_map(|v| list(&v["projected"]["sources"]));
    sources.any(|s| given(&s[source]))
}

fn has_stop_signal(spec: &Value) -> bool {
    let mut containers = CONTAINERS.iter().flat_map(|field| list(&spec[*field]));
    containers.any(|c| given(&c["lifecycle"]["stopSignal"]))
}

fn drop_stop_signal(container: &mut Value) {
    let Some(lifecycle) = field_mut(container, "lifecycle") else {
        return;
    };
    if remove(lifecycle, "stopSignal").is_some() && size(lifecycle) == 0 {
        remove(container, "lifecycle");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;
    use serde_json::json;

    #[test]
    fn fields_go_unless_they_were_there() {
        let object = json!({"spec": {
            "schedulingGroup": {"podGroupName": "g"},
            "containers": [
                {"name": "a", "lifecycle": {"stopSignal": "SIGTERM"}},
                {"name": "b", "lifecycle": {"stopSignal": "SIGTERM", "preStop": {"sleep": {"seconds": 1}}}},
            ],
            "volumes": [{"name": "v", "projected": {"sources": [
                {"clusterTrustBundle": {"path": "p"}}, {"secret": {"name": "s"}},
            ]}}],
        }});
        let expected = json!({"spec": {
            "containers": [{"name": "a"}, {"name": "b", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}],
            "volumes": [{"name": "v", "projected": {"sources": [{}, {"secret": {"name": "s"}}]}}],
        }});
        let check = |old: Option<&Value>, expected: &Value| {
            let mut new = object.clone();
            drop_disabled(&mut new, old, "/spec");
            assert_eq!(new, *expected);
        };
        check(None, &expected);
        check(Some(&expected), &expected);
        check(Some(&object), &object);
        during(Feature::GenericWorkload, true, || {
            let mut expected = expected.clone();
            expected["spec"]["schedulingGroup"] = object["spec"]["schedulingGroup"].clone();
            check(None, &expected);
        });
    }
}
