//! In which order discovery lists group versions, and what their APIServices say of it.
//! Source: pkg/controlplane/apiserver/aggregator.go and cmd/kube-apiserver/app/aggregator.go.

use std::cmp::Reverse;

/// A group, its priority, and those of its versions.
type Group = (&'static str, i64, &'static [(&'static str, i64)]);

/// The priority of each built-in group, and that of each version in it.
const PRIORITIES: &[Group] = &[
    ("", 18_000, &[("v1", 1)]),
    ("apps", 17_800, &[("v1", 15)]),
    ("events.k8s.io", 17_750, &[("v1", 15)]),
    ("authentication.k8s.io", 17_700, &[("v1", 15)]),
    ("authorization.k8s.io", 17_600, &[("v1", 15)]),
    ("autoscaling", 17_500, &[("v2", 30), ("v1", 15)]),
    ("batch", 17_400, &[("v1", 15)]),
    (
        "certificates.k8s.io",
        17_300,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("networking.k8s.io", 17_200, &[("v1", 15), ("v1beta1", 9)]),
    ("policy", 17_100, &[("v1", 15)]),
    ("rbac.authorization.k8s.io", 17_000, &[("v1", 15)]),
    (
        "storage.k8s.io",
        16_800,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("apiextensions.k8s.io", 16_700, &[("v1", 15)]),
    (
        "admissionregistration.k8s.io",
        16_700,
        &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    ("scheduling.k8s.io", 16_600, &[("v1", 15), ("v1alpha2", 2)]),
    (
        "coordination.k8s.io",
        16_500,
        &[("v1", 15), ("v1beta1", 13), ("v1alpha2", 12)],
    ),
    ("node.k8s.io", 16_300, &[("v1", 15)]),
    ("discovery.k8s.io", 16_200, &[("v1", 15)]),
    (
        "resource.k8s.io",
        16_200,
        &[("v1", 21), ("v1beta2", 15), ("v1beta1", 9), ("v1alpha3", 1)],
    ),
    ("flowcontrol.apiserver.k8s.io", 16_100, &[("v1", 21)]),
    ("internal.apiserver.k8s.io", 16_000, &[("v1alpha1", 9)]),
    ("storagemigration.k8s.io", 15_800, &[("v1beta1", 9)]),
];

/// The priorities of a built-in group version: the group's, and its own in the group.
pub fn of(group: &str, version: &str) -> Option<(i64, i64)> {
    let (_, group_priority, versions) = PRIORITIES.iter().find(|(name, ..)| *name == group)?;
    let (_, version_priority) = versions.iter().find(|(name, _)| *name == version)?;
    Some((*group_priority, *version_priority))
}

/// What group versions are sorted by. The aggregator's own group comes first after the core, those of custom
/// resources last. It does not tell apart versions without a priority.
pub fn order(group: &str, version: &str) -> impl Ord + use<> {
    let group_priority = match group {
        "apiregistration.k8s.io" => 17_900,
        _ => PRIORITIES
            .iter()
            .find(|(name, ..)| *name == group)
            .map_or(1_000, |(_, priority, _)| *priority),
    };
    let version_priority = of(group, version).map_or(0, |(_, version)| version);
    (
        Reverse(group_priority),
        group.to_string(),
        Reverse(version_priority),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_groups_in_order() {
        let check = |list: &[(&str, &str)]| {
            assert!(
                list.windows(2)
                    .all(|pair| order(pair[0].0, pair[0].1) < order(pair[1].0, pair[1].1))
            );
        };
        check(&[
            ("", "v1"),
            ("apiregistration.k8s.io", "v1"),
            ("apps", "v1"),
            ("autoscaling", "v2"),
            ("autoscaling", "v1"),
        ]);
        check(&[
            ("storagemigration.k8s.io", "v1beta1"),
            ("a.b", "v1"),
            ("b.c", "v1"),
        ]);
    }
}
