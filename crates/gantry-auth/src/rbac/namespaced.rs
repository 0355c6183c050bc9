//! The tables of the default roles and bindings in namespaces. Columns as in [`super::roles`].

use super::roles::{READ, RECORD, Role, named, on, role};

/// The default Roles, with their namespaces.
#[rustfmt::skip]
pub(super) static NAMESPACED: &[(&str, Role)] = &[
    ("kube-public", role("system:controller:bootstrap-signer", &[
        on(READ, "core", "configmaps"),
        named("update", "core", "configmaps", "cluster-info"),
        on(RECORD, "core events.k8s.io", "events"),
    ])),
    ("kube-system", role("extension-apiserver-authentication-reader", &[
        named(READ, "core", "configmaps", "extension-apiserver-authentication"),
    ])),
    ("kube-system", role("system::leader-locking-kube-controller-manager", &[
        on("create get list update watch", "coordination.k8s.io", "leases"),
        on("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ])),
    ("kube-system", role("system::leader-locking-kube-scheduler", &[
        on("create get list update watch", "coordination.k8s.io", "leases"),
        on("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ])),
    ("kube-system", role("system:controller:bootstrap-signer", &[
        on(READ, "core", "secrets"),
    ])),
    ("kube-system", role("system:controller:cloud-provider", &[
        on("create get list watch", "core", "configmaps"),
    ])),
    ("kube-system", role("system:controller:token-cleaner", &[
        on("delete get list watch", "core", "secrets"),
        on(RECORD, "core events.k8s.io", "events"),
    ])),
];

/// The default RoleBindings: namespace, name, role, subjects.
#[rustfmt::skip]
pub(super) static NAMESPACED_BINDINGS: &[(&str, &str, &str, &str)] = &[
    ("kube-public", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", "ServiceAccount=kube-system/bootstrap-signer"),
    ("kube-system", "system::extension-apiserver-authentication-reader", "extension-apiserver-authentication-reader", "User=system:kube-controller-manager User=system:kube-scheduler"),
    ("kube-system", "system::leader-locking-kube-controller-manager", "system::leader-locking-kube-controller-manager", "User=system:kube-controller-manager ServiceAccount=kube-system/kube-controller-manager ServiceAccount=kube-system/leader-election-controller"),
    ("kube-system", "system::leader-locking-kube-scheduler", "system::leader-locking-kube-scheduler", "User=system:kube-scheduler ServiceAccount=kube-system/kube-scheduler"),
    ("kube-system", "system:controller:bootstrap-signer", "system:controller:bootstrap-signer", "ServiceAccount=kube-system/bootstrap-signer"),
    ("kube-system", "system:controller:cloud-provider", "system:controller:cloud-provider", "ServiceAccount=kube-system/cloud-provider"),
    ("kube-system", "system:controller:token-cleaner", "system:controller:token-cleaner", "ServiceAccount=kube-system/token-cleaner"),
];
