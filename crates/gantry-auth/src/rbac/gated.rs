//! What the default policy holds besides when features are on that are off by default. Columns as in [`super::roles`].

use super::roles::{READ, RECORD, Role, Rule, WRITE, named, on, role};
use gantry_api::features::Feature;

const CERTIFICATES: &str = "certificates.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";

/// Roles that come with a feature.
#[rustfmt::skip]
pub(super) static GATED_ROLES: &[(Feature, Role)] = &[
    (Feature::ClusterTrustBundle, role("system:cluster-trust-bundle-discovery", &[
        on(READ, CERTIFICATES, "clustertrustbundles"),
    ])),
];

/// Roles of upstream's controllers that come with a feature.
#[rustfmt::skip]
pub(super) static GATED_CONTROLLERS: &[(Feature, Role)] = &[
    (Feature::ClusterTrustBundle, role("system:controller:kube-apiserver-serving-clustertrustbundle-publisher", &[
        named("attest", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-serving"),
        on("create delete list update watch", CERTIFICATES, "clustertrustbundles"),
        on(RECORD, "core events.k8s.io", "events"),
    ])),
    (Feature::DRAResourcePoolStatus, role("system:controller:resourcepoolstatusrequest-controller", &[
        on("delete get list watch", RESOURCE, "resourcepoolstatusrequests"),
        on("patch update", RESOURCE, "resourcepoolstatusrequests/status"),
        on(READ, RESOURCE, "resourceslices"),
        on(READ, RESOURCE, "resourceclaims"),
        on(RECORD, "core events.k8s.io", "events"),
    ])),
    (Feature::GenericWorkload, role("system:controller:podgroup-protection-controller", &[
        on("get list update watch", SCHEDULING, "podgroups"),
        on(READ, "core", "pods"),
    ])),
    (Feature::PodCertificateRequest, role("system:controller:podcertificaterequestcleaner", &[
        on("delete get list watch", CERTIFICATES, "podcertificaterequests"),
    ])),
    (Feature::StorageVersionAPI, role("system:controller:storage-version-garbage-collector", &[
        on(READ, "coordination.k8s.io", "leases"),
        on("delete get list patch update watch", "internal.apiserver.k8s.io", "storageversions"),
        on("get patch update", "internal.apiserver.k8s.io", "storageversions/status"),
    ])),
    (Feature::StorageVersionMigrator, role("system:controller:storage-version-migrator-controller", &[
        on("create list patch", "*", "*"),
        on("get", "apiextensions.k8s.io", "customresourcedefinitions"),
        on("patch", "apiextensions.k8s.io", "customresourcedefinitions/status"),
        on("update", "storagemigration.k8s.io", "storageversionmigrations/status"),
    ])),
];

/// Rules that come to a default role with a feature.
#[rustfmt::skip]
pub(super) static GATED_RULES: &[(Feature, &str, Rule)] = &[
    (Feature::ClusterTrustBundle, "system:node", on(READ, CERTIFICATES, "clustertrustbundles")),
    (Feature::DRADeviceTaintRules, "system:controller:device-taint-eviction-controller", on("patch update", RESOURCE, "devicetaintrules/status")),
    (Feature::DRADeviceTaintRules, "system:controller:device-taint-eviction-controller", on(READ, RESOURCE, "devicetaintrules")),
    (Feature::DRADeviceTaintRules, "system:kube-scheduler", on(READ, RESOURCE, "devicetaintrules")),
    (Feature::DRAWorkloadResourceClaims, "system:controller:resource-claim-controller", on(READ, SCHEDULING, "podgroups")),
    (Feature::DRAWorkloadResourceClaims, "system:controller:resource-claim-controller", on("patch update", SCHEDULING, "podgroups/status")),
    (Feature::GenericWorkload, "system:aggregate-to-edit", on(WRITE, SCHEDULING, "podgroups workloads")),
    (Feature::GenericWorkload, "system:aggregate-to-view", on(READ, SCHEDULING, "podgroups podgroups/status workloads")),
    (Feature::GenericWorkload, "system:kube-scheduler", on(READ, SCHEDULING, "podgroups")),
    (Feature::GenericWorkload, "system:kube-scheduler", on("patch update", SCHEDULING, "podgroups/status")),
    (Feature::PodCertificateRequest, "system:node", on("create get list watch", CERTIFICATES, "podcertificaterequests")),
    (Feature::WorkloadWithJob, "system:controller:job-controller", on("create get list watch", SCHEDULING, "podgroups workloads")),
];

/// Bindings that come with a feature.
pub(super) static GATED_BINDINGS: &[(Feature, (&str, &str))] = &[(
    Feature::ClusterTrustBundle,
    (
        "system:cluster-trust-bundle-discovery",
        "Group=system:serviceaccounts",
    ),
)];
