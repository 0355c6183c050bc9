//! CSIDriver

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, immutable, optional_one_of};
use crate::kinds::columns::{age_column, column, name_column, or_none};
use crate::kinds::usual;
use crate::kinds::values::{
    default_to, flag, given, joined, list, map_of, number, remove, repeats, same, size, text,
};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        returns_deleted: true,
        columns: vec![
            name_column(),
            column("AttachRequired", "boolean", |o, _| (o["spec"]["attachRequired"] != false).into()),
            column("PodInfoOnMount", "boolean", |o, _| flag(&o["spec"]["podInfoOnMount"]).into()),
            column("StorageCapacity", "boolean", |o, _| flag(&o["spec"]["storageCapacity"]).into()),
            column("TokenRequests", "string", |o, _| match &o["spec"]["tokenRequests"] {
                Value::Array(requests) => joined(requests.iter().map(|r| text(&r["audience"])), ",").into(),
                _ => "<unset>".into(),
            }),
            column("RequiresRepublish", "boolean", |o, _| flag(&o["spec"]["requiresRepublish"]).into()),
            column("Modes", "string", |o, _| {
                or_none(&joined(list(&o["spec"]["volumeLifecycleModes"]).iter().map(text), ","))
            }),
            age_column(),
        ],
        hooks: Box::new(DriverHooks),
        ..usual("storage.k8s.io", "CSIDriver", "csidrivers", Scope::Cluster)
    }
}

struct DriverHooks;

impl Hooks for DriverHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let (spec, requests) = (&object["spec"], &object["spec"]["tokenRequests"]);
        let changed = old.is_none_or(|old| old["spec"]["tokenRequests"] != *requests);
        if !changed || list(requests).is_empty() || given(&spec["serviceAccountTokenInSecrets"]) {
            return Vec::new();
        }
        let why = "is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume \
                   attributes";
        vec![format!("spec.serviceAccountTokenInSecrets {why}")]
    }

    fn needs_version(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        default_to(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            default_to(spec, field, false);
        }
        default_to(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if enabled(Feature::VolumeLimitScaling) {
            default_to(spec, PREVENT_SCHEDULING, false);
        }
        if size(&spec["volumeLifecycleModes"]) == 0 {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        drop_disabled(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        if !given(&old["spec"][PREVENT_SCHEDULING]) {
            drop_disabled(object);
        }
        if !same(&object["spec"], &old["spec"]) {
            object["metadata"]["generation"] = (number(&old["metadata"]["generation"]) + 1).into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let policies = ["File", "None", "ReadWriteOnceWithFSType"];
        optional_one_of(&mut errors, &path.child("fsGroupPolicy"), &spec["fsGroupPolicy"], &policies);
        token_requests(&mut errors, &path.child("tokenRequests"), list(&spec["tokenRequests"]));
        for mode in list(&spec["volumeLifecycleModes"]) {
            let at = path.child("volumeLifecycleModes");
            optional_one_of(&mut errors, &at, mode, &["Persistent", "Ephemeral"]);
        }
        let period = &spec["nodeAllocatableUpdatePeriodSeconds"];
        if given(period) && number(period) < 10 {
            let detail = "must be greater than or equal to 10 seconds";
            let at = path.child("nodeAllocatableUpdatePeriodSeconds");
            errors.push(Error::invalid(at, period.clone(), detail));
        }
        let in_secrets = &spec["serviceAccountTokenInSecrets"];
        if given(in_secrets) && size(&spec["tokenRequests"]) == 0 {
            let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
            errors.push(Error::invalid(path.child("serviceAccountTokenInSecrets"), in_secrets.clone(), detail));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, new, old) = (Path::new("spec"), &object["spec"], &old["spec"]);
        // Upstream spells the first field this way in its message.
        for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
            immutable(&mut errors, &path.child(shown), &new[field], &old[field]);
        }
        errors
    }
}

const PREVENT_SCHEDULING: &str = "preventPodSchedulingIfMissing";

/// Drops a field whose feature is off.
fn drop_disabled(object: &mut Value) {
    if !enabled(Feature::VolumeLimitScaling) {
        remove(map_of(object, "spec"), PREVENT_SCHEDULING);
    }
}

fn token_requests(errors: &mut Errors, path: &Path, requests: &[Value]) {
    let repeated = repeats(requests, |r| text(&r["audience"]));
    for (i, request) in requests.iter().enumerate() {
        let path = path.index(i);
        let audience = text(&request["audience"]);
        if repeated[i] {
            errors.push(Error::duplicate(path.child("audience"), audience));
            continue;
        }
        let (at, seconds) = (path.child("expirationSeconds"), &request["expirationSeconds"]);
        if given(seconds) && number(seconds) < 600 {
            errors.push(Error::invalid(at, seconds.clone(), "may not specify a duration less than 10 minutes"));
        }
        if number(seconds) > 1 << 32 {
            let detail = "may not specify a duration larger than 2^32 seconds";
            errors.push(Error::invalid(at, seconds.clone(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::during;

    fn driver(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "d.io"}, "spec": {}});
        change(&mut object);
        DriverHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = DriverHooks.validate(&driver(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(|o| o["spec"]["volumeLifecycleModes"] = json!(["Forever"]), &[
            "spec.volumeLifecycleModes: Unsupported value: \"Forever\": supported values: \"Persistent\", \"Ephemeral\"",
        ]);
        check(
            |o| o["spec"]["tokenRequests"] = json!([{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]),
            &[
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            ],
        );
        check(|o| o["spec"]["serviceAccountTokenInSecrets"] = true.into(), &[
            "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no \
             tokenRequests are specified",
        ]);
    }

    #[test]
    fn changes() {
        let old = driver(|_| {});
        let check = |change: fn(&mut Value), fine: bool, generation: Value| {
            let mut new = driver(change);
            DriverHooks.prepare_update(&mut new, &old);
            assert_eq!(DriverHooks.validate_update(&new, &old).is_empty(), fine);
            assert_eq!(new["metadata"]["generation"], generation);
        };
        check(|_| {}, true, Value::Null);
        check(|o| o["spec"][PREVENT_SCHEDULING] = true.into(), true, Value::Null);
        during(Feature::VolumeLimitScaling, true, || {
            check(|o| o["spec"][PREVENT_SCHEDULING] = true.into(), true, 1.into());
        });
        check(|o| o["spec"]["podInfoOnMount"] = true.into(), true, 1.into());
        check(|o| o["spec"]["attachRequired"] = false.into(), false, 1.into());
    }
}
