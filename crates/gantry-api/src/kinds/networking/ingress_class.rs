//! IngressClass

use crate::field::{Error, Path};
use crate::formats;
use crate::kind::{Cell, Column, Hooks, Kind, Scope};
use crate::kinds::checks::{Errors, domain_prefixed_path, format, immutable};
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::networking::ingress::reference;
use crate::kinds::values::{default_to, drop_zero, field_mut, given, map_of, text};
use crate::kinds::{count_generation, usual};
use serde_json::Value;

const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
const LONGEST_CONTROLLER: usize = 250;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        columns: vec![
            Column {
                cell: Cell::Made(|o, _| match text(&o["metadata"]["annotations"][DEFAULT_ANNOTATION]) {
                    "true" => format!("{} (default)", crate::meta::name(o)).into(),
                    _ => crate::meta::name(o).into(),
                }),
                ..name_column()
            },
            column("Controller", "string", |o, _| text(&o["spec"]["controller"]).into()),
            column("Parameters", "string", |o, _| parameters(&o["spec"]["parameters"]).into()),
            age_column(),
        ],
        hooks: Box::new(IngressClassHooks),
        ..usual("networking.k8s.io", "IngressClass", "ingressclasses", Scope::Cluster)
    }
}

fn parameters(parameters: &Value) -> String {
    let (kind, name) = (text(&parameters["kind"]), text(&parameters["name"]));
    match &parameters["apiGroup"] {
        _ if !given(parameters) => "<none>".into(),
        Value::String(group) => format!("{kind}.{group}/{name}"),
        _ => format!("{kind}/{name}"),
    }
}

struct IngressClassHooks;

impl Hooks for IngressClassHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        drop_zero(spec, &["controller"]);
        if let Some(parameters) = field_mut(spec, "parameters") {
            default_to(parameters, "scope", "Cluster");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object["metadata"]["generation"] = 1.into();
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec) = (Path::new("spec"), &object["spec"]);
        let (at, controller) = (path.child("controller"), text(&spec["controller"]));
        if controller.len() > LONGEST_CONTROLLER {
            errors.push(Error::too_long(at, LONGEST_CONTROLLER));
        }
        domain_prefixed_path(&mut errors, &at, controller);
        if given(&spec["parameters"]) {
            scoped_reference(&mut errors, &path.child("parameters"), &spec["parameters"]);
        }
        errors
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (new, old) = (&object["spec"]["controller"], &old["spec"]["controller"]);
        immutable(&mut errors, &Path::new("spec").child("controller"), new, old);
        errors
    }
}

fn scoped_reference(errors: &mut Errors, path: &Path, parameters: &Value) {
    reference(errors, path, parameters);
    let (at, namespace) = (path.child("namespace"), &parameters["namespace"]);
    match text(&parameters["scope"]) {
        "Namespace" => match namespace.as_str() {
            Some(namespace) => format(errors, &at, namespace, formats::dns_label),
            None => errors.push(Error::required(at, "`parameters.scope` is set to 'Namespace'")),
        },
        "Cluster" if given(namespace) => {
            errors.push(Error::forbidden(at, "`parameters.scope` is set to 'Cluster'"));
        }
        "Cluster" => {}
        other => errors.push(Error::not_supported(path.child("scope"), other, &["Cluster", "Namespace"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |spec: Value, expected: &[&str]| {
            let mut object = json!({"metadata": {"name": "c"}, "spec": spec});
            IngressClassHooks.default(&mut object);
            let errors = IngressClassHooks.validate(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({"controller": "a.b/c"}), &[]);
        check(json!({}), &["spec.controller: Required value"]);
        check(
            json!({"controller": "c"}),
            &["spec.controller: Invalid value: \"c\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
        );
        check(
            json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "namespace": "x"}}),
            &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
        );
        check(
            json!({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
            &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        );
        check(
            json!({"controller": "a.b/c", "parameters": {"scope": "Any"}}),
            &[
                "spec.parameters.kind: Required value",
                "spec.parameters.name: Required value",
                "spec.parameters.scope: Unsupported value: \"Any\": supported values: \"Cluster\", \"Namespace\"",
            ],
        );
    }

    #[test]
    fn the_controller_stays() {
        let of = |controller: &str| json!({"spec": {"controller": controller}});
        assert_eq!(IngressClassHooks.validate_update(&of("a/b"), &of("a/b")), []);
        assert_eq!(IngressClassHooks.validate_update(&of("a/c"), &of("a/b")).len(), 1);
    }
}
