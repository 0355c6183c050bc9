//! The names of resources, such as `cpu` or `example.com/gpu`. Source: pkg/apis/core/helper/helpers.go.

use super::checks::{Errors, format};
use crate::field::{Error, Path};
use crate::formats;

/// Names without a domain that mean something somewhere.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// A resource's name must be qualified, or one that is known. Tells whether its form is right.
pub fn resource(errors: &mut Errors, path: &Path, name: &str) -> bool {
    let before = errors.len();
    format(errors, path, name, formats::qualified_name);
    if errors.len() > before {
        return false;
    }
    if !name.contains('/') && !STANDARD.contains(&name) && !is_huge_page_quota(name) {
        errors.push(Error::invalid(
            path,
            name,
            "must be a standard resource type or fully qualified",
        ));
    }
    true
}

/// The name of something that containers use.
pub fn of_container(errors: &mut Errors, path: &Path, name: &str) {
    resource(errors, path, name);
    if !name.contains('/') {
        if !is_for_containers(name) {
            errors.push(Error::invalid(
                path,
                name,
                "must be a standard resource for containers",
            ));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(Error::invalid(
            path,
            name,
            "doesn't follow extended resource name standard",
        ));
    }
}

/// The name of something that pods as a whole use.
pub fn of_pod(errors: &mut Errors, path: &Path, name: &str) {
    let before = errors.len();
    resource(errors, path, name);
    if errors.len() == before && !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
        errors.push(Error::not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// The name of something that a quota limits.
pub fn of_quota(errors: &mut Errors, path: &Path, name: &str) {
    resource(errors, path, name);
    if !name.contains('/') && !is_for_quotas(name) {
        errors.push(Error::invalid(
            path,
            name,
            "must be a standard resource for quota",
        ));
    }
}

/// Whether a name is one that quotas know by themselves.
pub fn is_for_quotas(name: &str) -> bool {
    name != "storage" && STANDARD.contains(&name) || is_huge_page_quota(name)
}

fn is_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

fn is_huge_page_quota(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether a resource is Kubernetes' own.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is one that devices bring along.
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && formats::qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether containers may be promised more of a resource than there is.
pub fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |rule: fn(&mut Errors, &Path, &str), name: &str, expected: &[&str]| {
            let mut errors = Vec::new();
            rule(&mut errors, &Path::new("x"), name);
            let details: Vec<&str> = errors.iter().map(|e| e.detail.as_str()).collect();
            assert_eq!(details, expected, "{name}");
        };
        let (standard, container) = (
            "must be a standard resource type or fully qualified",
            "must be a standard resource for containers",
        );
        check(of_container, "cpu", &[]);
        check(of_container, "hugepages-2Mi", &[]);
        check(of_container, "example.com/gpu", &[]);
        check(of_container, "kubernetes.io/x", &[]);
        check(of_container, "pods", &[container]);
        check(of_container, "disk", &[standard, container]);
        check(
            of_container,
            "requests.a.io/b",
            &["doesn't follow extended resource name standard"],
        );
        check(of_quota, "requests.hugepages-2Mi", &[]);
        check(of_quota, "count/pods", &[]);
        check(of_quota, "storage", &["must be a standard resource for quota"]);
        check(
            of_pod,
            "ephemeral-storage",
            &["supported values: \"cpu\", \"hugepages-\", \"memory\""],
        );
    }
}
