//! Ingress

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::{Errors, format, optional_format, required_format};
use crate::kinds::columns::{age_column, column, name_column, or_none};
use crate::kinds::values::{drop_zero, field_mut, given, joined, list, list_mut, map_of, number, size, text};
use crate::kinds::{count_generation, usual};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        short_names: vec!["ing".into()],
        storage_prefix: "ingress".into(),
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Class", "string", |o, _| or_none(text(&o["spec"]["ingressClassName"]))),
            column("Hosts", "string", |o, _| hosts(list(&o["spec"]["rules"])).into()),
            column("Address", "string", |o, _| addresses(o).into()),
            column("Ports", "string", |o, _| if size(&o["spec"]["tls"]) > 0 { "80, 443" } else { "80" }.into()),
            age_column(),
        ],
        hooks: Box::new(IngressHooks),
        ..usual("networking.k8s.io", "Ingress", "ingresses", Scope::Namespaced)
    }
}

fn hosts(rules: &[Value]) -> String {
    const SHOWN: usize = 3;
    let mut shown: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= shown.len() == SHOWN;
        let host = text(&rule["host"]);
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.join(","), more) {
        (none, _) if none.is_empty() => "*".into(),
        (shown, true) => format!("{shown} + {} more...", rules.len() - SHOWN),
        (shown, false) => shown,
    }
}

fn addresses(ingress: &Value) -> String {
    let points = list(&ingress["status"]["loadBalancer"]["ingress"]).iter();
    let all: BTreeSet<&str> = points
        .map(|point| match text(&point["ip"]) {
            "" => text(&point["hostname"]),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    joined(all, ",")
}

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

struct IngressHooks;

impl Hooks for IngressHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        if let Some(backend) = field_mut(spec, "defaultBackend") {
            default_backend(backend);
        }
        for rule in list_mut(spec, "rules") {
            drop_zero(rule, &["host"]);
            if let Some(http) = field_mut(rule, "http") {
                for path in list_mut(http, "paths") {
                    drop_zero(path, &["path"]);
                    default_backend(map_of(path, "backend"));
                }
            }
        }
        for tls in list_mut(spec, "tls") {
            drop_zero(tls, &["secretName"]);
        }
        map_of(map_of(object, "status"), "loadBalancer");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
        object["status"] = json!({"loadBalancer": {}});
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate_create(&self, object: &Value) -> Vec<Error> {
        let mut errors = spec(&object["spec"], Tolerance::default());
        let annotation = &object["metadata"]["annotations"][CLASS_ANNOTATION];
        let class = &object["spec"]["ingressClassName"];
        if given(annotation) && given(class) && annotation != class {
            let detail = "must match `ingressClassName` when both are specified";
            let path = Path::new("annotations");
            errors.push(Error::invalid(path.child(CLASS_ANNOTATION), annotation.clone(), detail));
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        spec(&object["spec"], Tolerance::of(&old["spec"]))
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let before = list(&old["status"]["loadBalancer"]["ingress"]);
        let (path, balancer) = (Path::new("status"), &object["status"]["loadBalancer"]);
        let path = path.child("loadBalancer");
        let path = path.child("ingress");
        for (i, point) in list(&balancer["ingress"]).iter().enumerate() {
            let at = path.index(i);
            let (ip, host) = (text(&point["ip"]), text(&point["hostname"]));
            if !ip.is_empty() && !before.iter().any(|b| b["ip"] == ip) {
                format(&mut errors, &at.child("ip"), ip, formats::strict_ip);
            }
            if !host.is_empty() {
                format(&mut errors, &at.child("hostname"), host, formats::dns_subdomain);
                no_address(&mut errors, &at.child("hostname"), host);
            }
        }
        errors
    }
}

fn default_backend(backend: &mut Value) {
    if let Some(service) = field_mut(backend, "service") {
        drop_zero(map_of(service, "port"), &["name", "number"]);
    }
}

/// What stored objects may keep though new ones may not have it.
#[derive(Clone, Copy, Default)]
struct Tolerance {
    secret_names: bool,
    wildcard_rules: bool,
}

impl Tolerance {
    fn of(old: &Value) -> Self {
        let secret = |tls: &Value| match text(&tls["secretName"]) {
            "" => false,
            name => !formats::dns_subdomain(name).is_empty(),
        };
        let wildcard = |entry: &Value| {
            let mut errors = Vec::new();
            if text(&entry["host"]).contains('*') {
                rule(&mut errors, &Path::new("rules"), entry);
            }
            !errors.is_empty()
        };
        Tolerance {
            secret_names: list(&old["tls"]).iter().any(secret),
            wildcard_rules: list(&old["rules"]).iter().any(wildcard),
        }
    }
}

fn spec(spec: &Value, tolerance: Tolerance) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    let (rules, default) = (list(&spec["rules"]), &spec["defaultBackend"]);
    if rules.is_empty() && !given(default) {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid(path, spec["rules"].clone(), detail));
    }
    if given(default) {
        backend(&mut errors, &path.child("defaultBackend"), default);
    }
    let at = path.child("rules");
    for (i, entry) in rules.iter().enumerate() {
        let at = at.index(i);
        let name = text(&entry["host"]);
        if !name.is_empty() {
            no_address(&mut errors, &at.child("host"), name);
            host(&mut errors, &at.child("host"), name);
        }
        if !name.contains('*') || !tolerance.wildcard_rules {
            rule(&mut errors, &at, entry);
        }
    }
    let at = path.child("tls");
    for (i, tls) in list(&spec["tls"]).iter().enumerate() {
        let at = at.index(i);
        let at_hosts = at.child("hosts");
        for (i, name) in list(&tls["hosts"]).iter().enumerate() {
            host(&mut errors, &at_hosts.index(i), text(name));
        }
        let secret = text(&tls["secretName"]);
        if !secret.is_empty() && !tolerance.secret_names {
            format(&mut errors, &at.child("secretName"), secret, formats::dns_subdomain);
        }
    }
    let class = &spec["ingressClassName"];
    optional_format(&mut errors, &path.child("ingressClassName"), class, formats::dns_subdomain);
    errors
}

fn no_address(errors: &mut Errors, path: &Path, host: &str) {
    if formats::parse_ip(host).is_some() {
        let detail = "must be a DNS name, not an IP address";
        errors.push(Error::invalid(path, host, detail));
    }
}

fn host(errors: &mut Errors, path: &Path, host: &str) {
    let rule = match host.contains('*') {
        true => formats::wildcard_dns_subdomain,
        false => formats::dns_subdomain,
    };
    format(errors, path, host, rule);
}

fn rule(errors: &mut Errors, path: &Path, rule: &Value) {
    let http = &rule["http"];
    if !given(http) {
        return;
    }
    let path = path.child("http");
    let path = path.child("paths");
    let paths = list(&http["paths"]);
    if paths.is_empty() {
        errors.push(Error::required(path, ""));
    }
    for (i, entry) in paths.iter().enumerate() {
        http_path(errors, &path.index(i), entry);
    }
}

fn http_path(errors: &mut Errors, path: &Path, entry: &Value) {
    let (value, at) = (text(&entry["path"]), path.child("path"));
    let mut wrong = |detail: String| errors.push(Error::invalid(at, value, detail));
    let absolute = "must be an absolute path";
    match entry["pathType"].as_str() {
        None => {
            errors.push(Error::required(path.child("pathType"), "pathType must be specified"));
            return;
        }
        Some("Exact" | "Prefix") => {
            if !value.starts_with('/') {
                wrong(absolute.into());
            }
            let parts = ["//", "/./", "/../", "%2f", "%2F"].into_iter();
            parts.filter(|p| value.contains(p)).for_each(|p| wrong(format!("must not contain '{p}'")));
            let ends = ["/..", "/."].into_iter();
            ends.filter(|e| value.ends_with(e)).for_each(|e| wrong(format!("cannot end with '{e}'")));
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !value.starts_with('/') {
                wrong(absolute.into());
            }
        }
        Some(other) => {
            let types = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(Error::not_supported(path.child("pathType"), other, &types));
        }
    }
    backend(errors, &path.child("backend"), &entry["backend"]);
}

fn backend(errors: &mut Errors, path: &Path, backend: &Value) {
    let (resource, service) = (&backend["resource"], &backend["service"]);
    match (given(resource), given(service)) {
        (true, true) => errors.push(Error::invalid(path, "", "cannot set both resource and service backends")),
        (true, false) => reference(errors, &path.child("resource"), resource),
        (false, true) => {
            let at = path.child("service");
            required_format(errors, &at.child("name"), text(&service["name"]), formats::dns_label);
            let at = at.child("port");
            let (name, number) = (text(&service["port"]["name"]), number(&service["port"]["number"]));
            match (name, number) {
                ("", 0) => errors.push(Error::required(path, "port name or number is required")),
                ("", number) => {
                    for problem in formats::port_number(number) {
                        errors.push(Error::invalid(at.child("number"), number, problem));
                    }
                }
                (name, 0) => format(errors, &at.child("name"), name, formats::port_name),
                _ => errors.push(Error::invalid(path, "", "cannot set both port name & port number")),
            }
        }
        (false, false) => errors.push(Error::invalid(path, "", "resource or service backend is required")),
    }
}

/// A reference to an object of any kind, as Ingress and IngressClass have it.
pub fn reference(errors: &mut Errors, path: &Path, reference: &Value) {
    optional_format(errors, &path.child("apiGroup"), &reference["apiGroup"], formats::dns_subdomain);
    for field in ["kind", "name"] {
        required_format(errors, &path.child(field), text(&reference[field]), formats::path_segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(change: impl Fn(&mut Value)) -> Value {
        let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
        let mut object = json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a.b", "http": {"paths": paths}}]}});
        change(&mut object);
        IngressHooks.default(&mut object);
        object
    }

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let errors = IngressHooks.validate_create(&ingress(change));
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"] = json!({}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        );
        check(
            |o| o["spec"]["rules"][0]["host"] = "10.0.0.1".into(),
            &["spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address"],
        );
        check(
            |o| o["spec"]["rules"][0]["http"] = json!({"paths": []}),
            &["spec.rules[0].http.paths: Required value"],
        );
        check(
            |o| o["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/a//b/..".into(),
            &[
                "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": must not contain '//'",
                "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b/..\": cannot end with '/..'",
            ],
        );
        check(
            |o| o["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Any".into(),
            &["spec.rules[0].http.paths[0].pathType: Unsupported value: \"Any\": supported values: \"Exact\", \
               \"ImplementationSpecific\", \"Prefix\""],
        );
        check(
            |o| o["spec"]["defaultBackend"] = json!({}),
            &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
        );
        check(
            |o| o["spec"]["defaultBackend"] = json!({"service": {"name": "s", "port": {"name": "p", "number": 1}}}),
            &["spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number"],
        );
        check(
            |o| o["spec"]["defaultBackend"] = json!({"service": {"name": "s"}}),
            &["spec.defaultBackend: Required value: port name or number is required"],
        );
        check(
            |o| o["spec"]["defaultBackend"] = json!({"resource": {"kind": "K"}}),
            &["spec.defaultBackend.resource.name: Required value"],
        );
        check(
            |o| {
                o["spec"]["ingressClassName"] = "a".into();
                o["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "b"});
            },
            &["annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName` when both \
               are specified"],
        );
    }

    #[test]
    fn texts() {
        let rules = |hosts: &[&str]| hosts.iter().map(|h| json!({"host": h})).collect::<Vec<_>>();
        let check = |names: &[&str], text: &str| assert_eq!(hosts(&rules(names)), text);
        check(&[], "*");
        check(&["a", "b", "c"], "a,b,c");
        check(&["a", "b", "c", "d", "e"], "a,b,c + 2 more...");
    }
}
