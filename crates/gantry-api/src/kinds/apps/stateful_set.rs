//! StatefulSet

use crate::features::{Feature, enabled};
use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, amount, count_or_part, format, nonnegative, one_of};
use crate::kinds::columns::{age_column, column, name_column, template_columns};
use crate::kinds::core::persistent_volume_claim::claim_spec;
use crate::kinds::core::pod;
use crate::kinds::values::{
    default_if_zero, default_to, drop_zero, given, keep, list, list_mut, map_of, number, remove, same, text,
};
use crate::kinds::{count_generation, usual};
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    let [containers, images, _] = template_columns();
    Kind {
        short_names: vec!["sts".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::Scale, Subresource::Status],
        columns: vec![
            name_column(),
            column("Ready", "string", |o, _| {
                let (ready, wanted) = (number(&o["status"]["readyReplicas"]), number(&o["spec"]["replicas"]));
                format!("{ready}/{wanted}").into()
            }),
            age_column(),
            containers,
            images,
        ],
        hooks: Box::new(StatefulSetHooks),
        ..usual("apps", "StatefulSet", "statefulsets", Scope::Namespaced)
    }
}

const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

struct StatefulSetHooks;

impl Hooks for StatefulSetHooks {
    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = pod::template_warnings("spec.template", object, old);
        if number(&object["spec"]["revisionHistoryLimit"]) < 0 {
            let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
            warnings.push(format!("spec.revisionHistoryLimit: {why}"));
        }
        warnings
    }

    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["minReadySeconds"]);
        default_if_zero(spec, "podManagementPolicy", "OrderedReady");
        let strategy = map_of(spec, "updateStrategy");
        if text(&strategy["type"]).is_empty() {
            strategy["type"] = "RollingUpdate".into();
            map_of(strategy, "rollingUpdate");
        }
        if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
            default_to(&mut strategy["rollingUpdate"], "partition", 0);
            if enabled(Feature::MaxUnavailableStatefulSet) {
                default_to(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
            }
        }
        let retention = map_of(spec, "persistentVolumeClaimRetentionPolicy");
        default_if_zero(retention, "whenDeleted", "Retain");
        default_if_zero(retention, "whenScaled", "Retain");
        default_to(spec, "replicas", 1);
        default_to(spec, "revisionHistoryLimit", 10);
        for claim in list_mut(spec, "volumeClaimTemplates") {
            default_if_zero(claim, "apiVersion", "v1");
            default_if_zero(claim, "kind", "PersistentVolumeClaim");
            default_to(map_of(claim, "spec"), "volumeMode", "Filesystem");
            default_if_zero(map_of(claim, "status"), "phase", "Pending");
        }
        pod::default_template(spec, "template");
        let status = map_of(object, "status");
        default_to(status, "replicas", 0);
        default_to(status, "availableReplicas", 0);
    }

    fn prepare_create(&self, object: &mut Value) {
        pod::drop_disabled(object, None, "/spec/template/spec");
        object["metadata"]["generation"] = 1.into();
        object["status"] = json!({"replicas": 0, "availableReplicas": 0});
        drop_max_unavailable(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        pod::drop_disabled(object, Some(old), "/spec/template/spec");
        if !given(&old["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]) {
            drop_max_unavailable(object);
        }
        count_generation(object, old);
    }

    fn prepare_subresource(&self, subresource: Subresource, object: &mut Value, old: &Value) {
        if subresource != Subresource::Status {
            self.prepare_update(object, old);
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        validate(object, true)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = validate(object, false);
        let mut new = object["spec"].clone();
        for field in MUTABLE {
            keep(&mut new, &old["spec"], field);
        }
        if !same(&new, &old["spec"]) {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' \
                are forbidden";
            errors.push(Error::forbidden("spec", detail));
        }
        errors
    }

    fn validate_subresource(&self, subresource: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        if subresource != Subresource::Status {
            return self.validate_update(object, old);
        }
        let mut errors = Vec::new();
        let (path, status) = (Path::new("status"), &object["status"]);
        let counts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        for field in ["replicas", "observedGeneration", "collisionCount"].iter().chain(&counts) {
            nonnegative(&mut errors, &path.child(field), &status[*field]);
        }
        let mut at_most = |field: &str, most: &str| {
            if number(&status[field]) > number(&status[most]) {
                let detail = format!("cannot be greater than status.{most}");
                errors.push(Error::invalid(path.child(field), number(&status[field]), detail));
            }
        };
        counts.iter().for_each(|field| at_most(field, "replicas"));
        at_most("availableReplicas", "readyReplicas");
        let (now, before) = (number(&status["collisionCount"]), number(&old["status"]["collisionCount"]));
        if now < before {
            errors.push(Error::invalid("status.collisionCount", now, "cannot be decremented"));
        }
        errors
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        crate::meta::validate_label_name(name)
    }
}

/// Checks a whole object. What cannot be changed is checked of a new one alone.
fn validate(object: &Value, new: bool) -> Vec<Error> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    let policy = &spec["podManagementPolicy"];
    if !matches!(text(policy), "OrderedReady" | "Parallel") {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(Error::invalid(path.child("podManagementPolicy"), policy.clone(), detail));
    }
    strategy(&mut errors, &path.child("updateStrategy"), &spec["updateStrategy"]);
    let at = path.child("persistentVolumeClaimRetentionPolicy");
    let retention = &spec["persistentVolumeClaimRetentionPolicy"];
    for field in ["whenDeleted", "whenScaled"] {
        one_of(&mut errors, &at.child(field), &retention[field], &["Retain", "Delete"]);
    }
    if new {
        let path = path.child("volumeClaimTemplates");
        for (i, claim) in list(&spec["volumeClaimTemplates"]).iter().enumerate() {
            claim_spec(&mut errors, &path.index(i).child("spec"), &claim["spec"], false);
        }
    }
    nonnegative(&mut errors, &path.child("replicas"), &spec["replicas"]);
    nonnegative(&mut errors, &path.child("minReadySeconds"), &spec["minReadySeconds"]);
    nonnegative(&mut errors, &path.child("ordinals.start"), &spec["ordinals"]["start"]);
    let service = text(&spec["serviceName"]);
    if new && !service.is_empty() {
        format(&mut errors, &path.child("serviceName"), service, formats::dns_label);
    }
    if pod::pods_selected(&mut errors, &path, spec, "statefulset") {
        pod::validate_template(&mut errors, &path.child("template"), &effective_template(spec));
    } else {
        errors.push(Error::invalid(path.child("selector"), spec["selector"].clone(), ""));
    }
    pod::runs_forever(&mut errors, &path.child("template"), &spec["template"], "StatefulSet");
    errors
}

/// Drops a field whose feature is off.
fn drop_max_unavailable(object: &mut Value) {
    if !enabled(Feature::MaxUnavailableStatefulSet)
        && let Some(rolling) = object.pointer_mut("/spec/updateStrategy/rollingUpdate")
    {
        remove(rolling, "maxUnavailable");
    }
}

/// The template as the controller will use it: it names the pods, and mounts the claims under their templates' names.
fn effective_template(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    remove(&mut template["spec"], "subdomain");
    remove(&mut template["spec"], "hostname");
    let mut claims: Vec<&str> =
        list(&spec["volumeClaimTemplates"]).iter().map(|c| text(&c["metadata"]["name"])).collect();
    claims.sort_unstable();
    claims.dedup();
    if !claims.is_empty() {
        let claimed = claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        let own = list(&spec["template"]["spec"]["volumes"]).iter();
        let own = own.filter(|v| !claims.contains(&text(&v["name"]))).cloned();
        template["spec"]["volumes"] = claimed.chain(own).collect();
    }
    template
}

fn strategy(errors: &mut Errors, path: &Path, strategy: &Value) {
    let rolling = &strategy["rollingUpdate"];
    let at = path.child("rollingUpdate");
    match text(&strategy["type"]) {
        "OnDelete" if given(rolling) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(Error::invalid(at, rolling.clone(), detail));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            nonnegative(errors, &at.child("partition"), &rolling["partition"]);
            let (at, unavailable) = (at.child("maxUnavailable"), &rolling["maxUnavailable"]);
            if given(unavailable) {
                if amount(unavailable) == 0 {
                    errors.push(Error::invalid(at, unavailable.clone(), "cannot be 0"));
                }
                count_or_part(errors, &at, unavailable);
            }
        }
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(Error::invalid(path, strategy.clone(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stateful_set(change: impl Fn(&mut Value)) -> Value {
        let mounts = json!([{"name": "data", "mountPath": "/data"}]);
        let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let mut object = json!({"metadata": {"name": "s"}, "spec": {
            "serviceName": "s",
            "selector": {"matchLabels": {"a": "b"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": mounts}]},
            },
        }});
        change(&mut object);
        StatefulSetHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let object = stateful_set(change);
            let mut errors = StatefulSetHooks.validate(&object);
            errors.extend(StatefulSetHooks.validate_create(&object));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["podManagementPolicy"] = "Any".into(),
            &["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"],
        );
        check(
            |o| o["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}),
            &["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"],
        );
        check(
            |o| o["spec"]["selector"] = json!({}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
        );
        check(
            |o| o["spec"]["volumeClaimTemplates"][0]["spec"] = json!({"accessModes": ["ReadWriteOnce"]}),
            &["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"],
        );
        check(
            |o| o["spec"]["replicas"] = (-1).into(),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
    }

    #[test]
    fn few_fields_change() {
        let old = stateful_set(|_| {});
        let check = |change: fn(&mut Value), fine: bool| {
            assert_eq!(StatefulSetHooks.validate_update(&stateful_set(change), &old).is_empty(), fine);
        };
        check(|o| o["spec"]["replicas"] = 3.into(), true);
        check(|o| o["spec"]["template"]["spec"]["hostname"] = "h".into(), true);
        check(|o| o["spec"]["serviceName"] = "t".into(), false);
        check(|o| o["spec"]["volumeClaimTemplates"] = json!([]), false);
    }
}
