//! Admission: what policy adds to an object before its kind's own rules are applied, and refuses before or after.
//!
//! A plugin is one file; [`admit`] and [`validate`] list them in the order in which they run.

mod certificate_approval;
mod certificate_signing;
mod certificate_subject_restriction;
mod cluster_trust_bundle_attest;
mod custom_resource_terminating;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod namespace_lifecycle;
pub mod node_restriction;
mod persistent_volume_claim_resize;
mod pod_group_workload_exists;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;

use crate::metrics::AdmissionLabels;
use crate::verbs::Api;
use async_trait::async_trait;
use gantry_api::kind::Kind;
use gantry_api::status::Status;
use gantry_auth::User;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A write that asks for admission.
pub struct Request<'a> {
    /// The server, to look other objects up.
    pub api: &'a Api,
    /// Who asks.
    pub user: &'a User,
    /// The kind of the path.
    pub kind: &'a Kind,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object that stands now; `None` on create.
    pub old: Option<&'a Value>,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

impl Request<'_> {
    /// Whether this is a create of a kind's objects themselves.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.old.is_none() && self.is(group, plural)
    }

    /// Whether this is a write of a kind's objects themselves.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.kind.group == group && self.kind.plural == plural
    }

    /// A refusal.
    pub fn forbidden(&self, name: &str, why: &str) -> Status {
        Status::forbidden(&self.kind.group, &self.kind.plural, name, why)
    }
}

/// One policy.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Upstream's name for it, which its type has, too.
    fn name(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }

    /// Changes the object, or refuses it, before its kind's rules are applied.
    async fn admit(&self, _: &Request<'_>, _: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// Looks at the object, which obeys its kind's rules, as it would be stored.
    async fn validate(&self, _: &Request<'_>, _: &Value) -> Result<(), Status> {
        Ok(())
    }
}

/// Runs the plugins that change objects.
pub async fn admit(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let plugins: [&dyn Plugin; 10] = [
        &custom_resource_terminating::CustomResourceTerminating,
        &namespace_lifecycle::NamespaceLifecycle,
        &service_account::ServiceAccount,
        &taint_nodes_by_condition::TaintNodesByCondition,
        &priority::Priority,
        &default_toleration_seconds::DefaultTolerationSeconds,
        &default_storage_class::DefaultStorageClass,
        &storage_object_in_use_protection::StorageObjectInUseProtection,
        &runtime_class::RuntimeClass,
        &default_ingress_class::DefaultIngressClass,
    ];
    let mut step = Step::new(request, "admit");
    for plugin in plugins {
        let start = Instant::now();
        let result = plugin.admit(request, object).await;
        step.note(plugin, start, result)?;
    }
    step.end(false);
    Ok(())
}

/// Runs the plugins that look at objects.
pub async fn validate(request: &Request<'_>, object: &Value) -> Result<(), Status> {
    let plugins: [&dyn Plugin; 7] = [
        &pod_group_workload_exists::PodGroupWorkloadExists,
        &persistent_volume_claim_resize::PersistentVolumeClaimResize,
        &runtime_class::RuntimeClass,
        &certificate_approval::CertificateApproval,
        &certificate_signing::CertificateSigning,
        &cluster_trust_bundle_attest::ClusterTrustBundleAttest,
        &certificate_subject_restriction::CertificateSubjectRestriction,
    ];
    let mut step = Step::new(request, "validate");
    for plugin in plugins {
        let start = Instant::now();
        let result = plugin.validate(request, object).await;
        step.note(plugin, start, result)?;
    }
    step.end(false);
    Ok(())
}

/// All plugins that do the same, for the metrics.
struct Step<'a> {
    request: &'a Request<'a>,
    type_: &'static str,
    took: Duration,
}

impl<'a> Step<'a> {
    fn new(request: &'a Request<'a>, type_: &'static str) -> Self {
        Step {
            request,
            type_,
            took: Duration::ZERO,
        }
    }

    fn tell(&self, name: &'static str, rejected: bool, took: Duration) {
        let operation = if self.request.old.is_none() {
            "CREATE"
        } else {
            "UPDATE"
        };
        let labels = AdmissionLabels {
            name,
            operation,
            rejected,
            type_: self.type_,
        };
        self.request.api.admissions.note(labels, took);
    }

    /// Notes what a plugin said; its refusal ends the step.
    fn note(
        &mut self,
        plugin: &dyn Plugin,
        start: Instant,
        result: Result<(), Status>,
    ) -> Result<(), Status> {
        let took = start.elapsed();
        self.took += took;
        self.tell(plugin.name(), result.is_err(), took);
        if result.is_err() {
            self.end(true);
        }
        result
    }

    fn end(&self, rejected: bool) {
        self.tell("", rejected, self.took);
    }
}
