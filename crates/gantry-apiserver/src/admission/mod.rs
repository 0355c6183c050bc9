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

use crate::metrics::{Admissions, Operation, Step};
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

    /// Whether it has to do with writes like this one, whatever the object is.
    fn concerns(&self, request: &Request<'_>) -> bool;
}

/// The plugins that change objects, in the order in which they run.
const ADMITTING: [&dyn Plugin; 10] = [
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

/// The plugins that look at objects, in the order in which they run.
const VALIDATING: [&dyn Plugin; 7] = [
    &pod_group_workload_exists::PodGroupWorkloadExists,
    &persistent_volume_claim_resize::PersistentVolumeClaimResize,
    &runtime_class::RuntimeClass,
    &certificate_approval::CertificateApproval,
    &certificate_signing::CertificateSigning,
    &cluster_trust_bundle_attest::ClusterTrustBundleAttest,
    &certificate_subject_restriction::CertificateSubjectRestriction,
];

/// Measures of how long the plugins take: first of those that change objects, then of the others.
pub fn measures() -> Admissions {
    let admitting = ADMITTING.iter().map(|plugin| (plugin.name(), Step::Admit));
    let validating = VALIDATING.iter().map(|plugin| (plugin.name(), Step::Validate));
    Admissions::new(admitting.chain(validating))
}

/// Runs the plugins that change objects.
pub async fn admit(request: &Request<'_>, object: &mut Value) -> Result<(), Status> {
    let mut pass = Pass::new(request, Step::Admit, 0);
    for (n, plugin) in ADMITTING.into_iter().enumerate() {
        if pass.concerns(n, plugin) {
            let start = Instant::now();
            let result = plugin.admit(request, object).await;
            pass.note(n, start, result)?;
        }
    }
    pass.end(false);
    Ok(())
}

/// Runs the plugins that look at objects.
pub async fn validate(request: &Request<'_>, object: &Value) -> Result<(), Status> {
    let mut pass = Pass::new(request, Step::Validate, ADMITTING.len());
    for (n, plugin) in VALIDATING.into_iter().enumerate() {
        if pass.concerns(n, plugin) {
            let start = Instant::now();
            let result = plugin.validate(request, object).await;
            pass.note(n, start, result)?;
        }
    }
    pass.end(false);
    Ok(())
}

/// All plugins of a step at work on one request, and how long they took.
struct Pass<'a> {
    request: &'a Request<'a>,
    step: Step,
    /// The number of its first plugin among all.
    first: usize,
    operation: Operation,
    took: Duration,
}

impl<'a> Pass<'a> {
    fn new(request: &'a Request<'a>, step: Step, first: usize) -> Self {
        Pass {
            request,
            step,
            first,
            operation: match request.old {
                None => Operation::Create,
                Some(_) => Operation::Update,
            },
            took: Duration::ZERO,
        }
    }

    /// Most plugins have nothing to do with most writes: no clock is read to know that.
    fn concerns(&self, n: usize, plugin: &dyn Plugin) -> bool {
        let concerns = plugin.concerns(self.request);
        if !concerns {
            let measures = &self.request.api.admissions;
            measures.note(self.first + n, self.operation, false, Duration::ZERO);
        }
        concerns
    }

    /// Notes what a plugin said; its refusal ends the step.
    fn note(&mut self, n: usize, start: Instant, result: Result<(), Status>) -> Result<(), Status> {
        let took = start.elapsed();
        self.took += took;
        let measures = &self.request.api.admissions;
        measures.note(self.first + n, self.operation, result.is_err(), took);
        if result.is_err() {
            self.end(true);
        }
        result
    }

    fn end(&self, rejected: bool) {
        let measures = &self.request.api.admissions;
        measures.note_step(self.step, self.operation, rejected, self.took);
    }
}
