//! APIService

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, required};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::usual;
use crate::kinds::values::{
    default_to, drop_zero, field_mut, flag, given, joined, keep, list, map_of, number, text,
};
use crate::meta;
use base64::Engine;
use serde_json::{Value, json};

/// The kind.
pub fn kind() -> Kind {
    Kind {
        categories: vec!["api-extensions".into()],
        storage_prefix: "apiregistration.k8s.io/apiservices".into(),
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Service", "string", |o, _| match &o["spec"]["service"] {
                Value::Null => "Local".into(),
                service => format!("{}/{}", text(&service["namespace"]), text(&service["name"])).into(),
            }),
            column("Available", "string", |o, _| available(o).into()),
            age_column(),
        ],
        hooks: Box::new(ApiServiceHooks),
        ..usual("apiregistration.k8s.io", "APIService", "apiservices", Scope::Cluster)
    }
}

fn available(object: &Value) -> String {
    let condition = list(&object["status"]["conditions"]).iter().find(|c| c["type"] == "Available");
    let Some(condition) = condition else {
        return "Unknown".into();
    };
    match (text(&condition["status"]), text(&condition["reason"])) {
        (status, reason) if status != "True" && !reason.is_empty() => format!("{status} ({reason})"),
        (status, _) => status.into(),
    }
}

struct ApiServiceHooks;

impl Hooks for ApiServiceHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["group", "version", "insecureSkipTLSVerify", "caBundle"]);
        default_to(spec, "groupPriorityMinimum", 0);
        default_to(spec, "versionPriority", 0);
        if let Some(service) = field_mut(spec, "service") {
            default_to(service, "port", 443);
        }
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        if !given(&object["spec"]["service"]) {
            object["status"]["conditions"] = json!([{
                "type": "Available", "status": "True", "lastTransitionTime": meta::now(), "reason": "Local",
                "message": "Local APIServices are always available",
            }]);
        }
    }

    fn prepare_subresource(&self, _: Subresource, object: &mut Value, old: &Value) {
        for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
            keep(&mut object["metadata"], &old["metadata"], field);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec, name) = (Path::new("spec"), &object["spec"], meta::name(object));
        let (group, version) = (text(&spec["group"]), text(&spec["version"]));
        let own = format!("{version}.{group}");
        let base = text(&object["metadata"]["generateName"]);
        if !base.is_empty() && formats::path_segment(base).is_empty() && base != own {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {own:?}");
            errors.push(Error::invalid("metadata.generateName", base, detail));
        }
        if name != own && formats::path_segment(name).is_empty() && !name.is_empty() {
            let detail = format!("must be `spec.version+\".\"+spec.group`: {own:?}");
            errors.push(Error::invalid("metadata.name", name, detail));
        }
        if group.is_empty() && version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(Error::required(path.child("group"), detail));
        }
        if !group.is_empty() {
            format(&mut errors, &path.child("group"), group, formats::dns_subdomain);
        }
        format(&mut errors, &path.child("version"), version, formats::dns1035_label);
        for (field, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
            let priority = number(&spec[field]);
            if priority <= 0 || priority > most {
                let detail = format!("must be positive and less than {most}");
                errors.push(Error::invalid(path.child(field), priority, detail));
            }
        }
        match &spec["service"] {
            Value::Null => local(&mut errors, &path, spec),
            service => remote(&mut errors, &path, spec, service),
        }
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let path = Path::new("status");
        let path = path.child("conditions");
        for (i, condition) in list(&object["status"]["conditions"]).iter().enumerate() {
            let status = text(&condition["status"]);
            let known = ["True", "False", "Unknown"];
            if !known.contains(&status) {
                let at = path.index(i);
                errors.push(Error::not_supported(at.child("status"), status, &known));
            }
        }
        errors
    }

    fn validate_name(&self, name: &str) -> Result<(), String> {
        meta::validate_path_segment(name)
    }
}

fn local(errors: &mut Errors, path: &Path, spec: &Value) {
    let bundle = text(&spec["caBundle"]);
    if !bundle.is_empty() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default();
        let shown = format!("{} bytes", bytes.len());
        errors.push(Error::invalid(path.child("caBundle"), shown, "local APIServices may not have a caBundle"));
    }
    if flag(&spec["insecureSkipTLSVerify"]) {
        let detail = "local APIServices may not have insecureSkipTLSVerify";
        errors.push(Error::invalid(path.child("insecureSkipTLSVerify"), true, detail));
    }
}

fn remote(errors: &mut Errors, path: &Path, spec: &Value, service: &Value) {
    let at = path.child("service");
    required(errors, &at.child("namespace"), &service["namespace"]);
    required(errors, &at.child("name"), &service["name"]);
    let port = number(&service["port"]);
    let problems = formats::port_number(port);
    if !problems.is_empty() {
        let detail = format!("port is not valid: {}", joined(problems.iter().map(String::as_str), ", "));
        errors.push(Error::invalid(at.child("port"), port, detail));
    }
    if flag(&spec["insecureSkipTLSVerify"]) && !text(&spec["caBundle"]).is_empty() {
        let detail = "may not be true if caBundle is present";
        errors.push(Error::invalid(path.child("insecureSkipTLSVerify"), true, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": name}, "spec": {
            "group": "a.b", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        }});
        change(&mut object);
        ApiServiceHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |name: &str, change: fn(&mut Value), expected: &[&str]| {
            let errors = ApiServiceHooks.validate(&service(name, change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check("v1.a.b", |_| {}, &[]);
        check(
            "a",
            |_| {},
            &["metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\""],
        );
        check(
            "v1.a.b",
            |o| o["metadata"]["generateName"] = "x".into(),
            &["metadata.generateName: Invalid value: \"x\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\""],
        );
        check(
            "v1.a.b",
            |o| o["spec"]["groupPriorityMinimum"] = 0.into(),
            &["spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000"],
        );
        check(
            "v1.a.b",
            |o| o["spec"]["caBundle"] = "AAAA".into(),
            &["spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle"],
        );
        check(
            "v1.a.b",
            |o| o["spec"]["service"] = json!({"name": "s", "port": 0}),
            &[
                "spec.service.namespace: Required value",
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            ],
        );
    }

    #[test]
    fn local_ones_are_available() {
        let check = |change: fn(&mut Value), expected: &str| {
            let mut object = service("v1.a.b", change);
            ApiServiceHooks.prepare_create(&mut object);
            assert_eq!(available(&object), expected);
        };
        check(|_| {}, "True");
        check(|o| o["spec"]["service"] = json!({"name": "s", "namespace": "n"}), "Unknown");
    }
}
