//! LimitRange

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, format, quantity};
use crate::kinds::columns::{created_column, name_column};
use crate::kinds::resource_names;
use crate::kinds::usual;
use crate::kinds::values::{default_to, entries, given, list, list_mut, map_of, repeats, size, text};
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeSet;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["limits".into()],
        columns: vec![name_column(), created_column()],
        hooks: Box::new(LimitRangeHooks),
        ..usual("", "LimitRange", "limitranges", Scope::Namespaced)
    }
}

struct LimitRangeHooks;

impl Hooks for LimitRangeHooks {
    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for limit in list_mut(map_of(object, "spec"), "limits") {
            if limit["type"] == "Container" {
                fill(limit);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        // The one kind that names its objects itself.
        if crate::meta::name(object).is_empty() {
            object["metadata"]["name"] = object["metadata"]["uid"].clone();
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("spec");
        let path = path.child("limits");
        let limits = list(&object["spec"]["limits"]);
        let repeated = repeats(limits, |limit| &limit["type"]);
        for (i, limit) in limits.iter().enumerate() {
            let path = path.index(i);
            kind_of_limit(&mut errors, &path.child("type"), text(&limit["type"]));
            if repeated[i] {
                errors.push(Error::duplicate(path.child("type"), limit["type"].clone()));
            }
            names(&mut errors, &path, limit);
            amounts(&mut errors, &path, limit);
        }
        errors
    }
}

/// Limits that are not given are the maximum; requests that are not given are the limits, or else the minimum.
fn fill(limit: &mut Value) {
    for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let given = limit[from].clone();
        let to = map_of(limit, to);
        entries(&given).for_each(|(name, amount)| default_to(to, name, amount.clone()));
    }
    // What holds nothing need not be told.
    for field in ["default", "defaultRequest"] {
        if size(&limit[field]) == 0 {
            crate::kinds::values::remove(limit, field);
        }
    }
}

fn kind_of_limit(errors: &mut Errors, path: &Path, kind: &str) {
    let before = errors.len();
    format(errors, path, kind, formats::qualified_name);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if errors.len() == before && !kind.contains('/') && !standard {
        errors.push(Error::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
}

fn names(errors: &mut Errors, path: &Path, limit: &Value) {
    let kind = text(&limit["type"]);
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let path_of = path.child(field);
        if field == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let bounded = given(&limit["min"]["storage"]) || given(&limit["max"]["storage"]);
            if !bounded {
                let detail = "either minimum or maximum storage value is required, but neither was provided";
                errors.push(Error::required(path.child("limits"), detail));
            }
        }
        if kind == "Pod" && field.starts_with("default") {
            if size(&limit[field]) > 0 {
                errors.push(Error::forbidden(path_of, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        for (name, _) in entries(&limit[field]) {
            match kind {
                "Pod" | "Container" => resource_names::of_container(errors, &path_of.key(name), name),
                _ => {
                    resource_names::resource(errors, &path_of.key(name), name);
                }
            }
        }
    }
}

fn amounts(errors: &mut Errors, path: &Path, limit: &Value) {
    let of_pod = limit["type"] == "Pod";
    let fields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let names: BTreeSet<&String> = fields
        .iter()
        .filter(|field| !of_pod || !field.starts_with("default"))
        .flat_map(|field| entries(&limit[*field]).map(|(name, _)| name))
        .collect();
    for name in names {
        let amount = |field: &str| {
            let value = &limit[field][name];
            (given(value) && !(of_pod && field.starts_with("default"))).then(|| quantity(value))
        };
        let (min, max, ratio) = (amount("min"), amount("max"), amount("maxLimitRequestRatio"));
        let (default, request) = (amount("default"), amount("defaultRequest"));
        let mut ordered = |at: &str, shown: &str, low: (&str, Option<Quantity>), high: (&str, Option<Quantity>)| {
            if let (Some(a), Some(b)) = (low.1, high.1)
                && a > b
            {
                let detail = format!("{} value {a} is greater than {} value {b}", low.0, high.0);
                errors.push(Error::invalid(path.child(at).key(name), limit[shown][name].clone(), detail));
            }
        };
        ordered("min", "min", ("min", min), ("max", max));
        ordered("defaultRequest", "defaultRequest", ("min", min), ("default request", request));
        ordered("defaultRequest", "defaultRequest", ("default request", request), ("max", max));
        ordered("defaultRequest", "defaultRequest", ("default request", request), ("default limit", default));
        ordered("default", "min", ("min", min), ("default", default));
        ordered("default", "max", ("default", default), ("max", max));
        if let Some(ratio) = ratio {
            let at = path.child("maxLimitRequestRatio");
            let shown = &limit["maxLimitRequestRatio"][name];
            if ratio < Quantity::of(1) {
                let detail = format!("ratio {ratio} is less than 1");
                errors.push(Error::invalid(at.key(name), shown.clone(), detail));
            }
            if let (Some(min), Some(max)) = (min, max) {
                let most = max.milli_value() as f64 / min.milli_value() as f64;
                if ratio.milli_value() as f64 / 1000.0 > most {
                    let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
                    errors.push(Error::invalid(at.key(name), shown.clone(), detail));
                }
            }
        }
        if let (Some(default), Some(request)) = (default, request)
            && default != request
            && !resource_names::may_be_overcommitted(name)
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            let shown = limit["defaultRequest"][name].clone();
            errors.push(Error::invalid(path.child("defaultRequest").key(name), shown, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults() {
        let mut object = json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}, "default": {"memory": "2Mi"}},
            {"type": "Pod", "max": {"cpu": "2"}},
        ]}});
        LimitRangeHooks.default(&mut object);
        let expected = json!([
            {
                "type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"},
                "default": {"cpu": "2", "memory": "2Mi"}, "defaultRequest": {"cpu": "2", "memory": "2Mi"},
            },
            {"type": "Pod", "max": {"cpu": "2"}},
        ]);
        assert_eq!(object["spec"]["limits"], expected);
    }

    #[test]
    fn rules() {
        let check = |limits: Value, expected: &[&str]| {
            let errors = LimitRangeHooks.validate(&json!({"spec": {"limits": limits}}));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{limits}");
        };
        check(json!([{"type": "Container", "max": {"cpu": "100m"}, "min": {"cpu": "50m"}}]), &[]);
        check(json!([{"type": "Pod", "max": {"cpu": "1"}}, {"type": "Pod"}]), &[
            "spec.limits[1].type: Duplicate value: \"Pod\"",
        ]);
        check(json!([{"type": "Pod", "default": {"cpu": "1"}}]), &[
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        ]);
        check(json!([{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]), &[
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        ]);
        check(json!([{"type": "Container", "max": {"memory": "2Gi"}, "min": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "3"}}]), &[
            "spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000",
        ]);
        check(json!([{"type": "PersistentVolumeClaim"}]), &[
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
        ]);
        check(json!([{"type": "Container", "default": {"a.io/gpu": "2"}, "defaultRequest": {"a.io/gpu": "1"}}]), &[
            "spec.limits[0].defaultRequest[a.io/gpu]: Invalid value: \"1\": default value 2 must equal to defaultRequest value 1 in a.io/gpu",
        ]);
    }
}
