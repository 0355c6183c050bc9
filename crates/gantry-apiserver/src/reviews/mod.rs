//! Questions to the API server that look like objects: they are created, answered at once, and never stored.
//!
//! One file per review. Each names itself in [`ALL`]; paths, discovery and OpenAPI derive from there.

mod access;
mod local_subject_access_review;
mod self_subject_access_review;
mod self_subject_review;
mod self_subject_rules_review;
mod subject_access_review;
mod token_review;

use crate::authenticate::Authenticator;
use crate::call::Call;
use crate::pipeline;
use crate::respond::Body;
use crate::verbs::Api;
use futures::future::BoxFuture;
use gantry_api::kind::{ANSWERED, Kind, NoHooks, Scope};
use gantry_api::status::Status;
use gantry_auth::User;
use http::Response;
use serde_json::{Value, json};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// A kind of question.
pub struct Review {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
    answer: fn(Asked<'_>) -> BoxFuture<'_, Result<Value, Status>>,
}

/// One question.
struct Asked<'a> {
    api: &'a Api,
    authenticator: &'a Authenticator,
    user: &'a User,
    namespace: Option<&'a str>,
    /// What was sent, checked against the schema.
    object: Value,
}

static ALL: [Review; 6] = [
    local_subject_access_review::REVIEW,
    self_subject_access_review::REVIEW,
    self_subject_review::REVIEW,
    self_subject_rules_review::REVIEW,
    subject_access_review::REVIEW,
    token_review::REVIEW,
];

/// The kinds of all reviews.
pub fn kinds() -> Vec<Kind> {
    ALL.iter()
        .map(|r| virtual_kind(r.group, r.kind, r.plural, r.scope))
        .collect()
}

/// A kind that is answered and never stored, at version v1.
pub fn virtual_kind(group: &str, kind: &str, plural: &str, scope: Scope) -> Kind {
    Kind {
        group: group.into(),
        version: "v1".into(),
        deprecation: None,
        feature: None,
        other_versions: Vec::new(),
        kind: kind.into(),
        plural: plural.into(),
        list_kind: smol_str::format_smolstr!("{kind}List"),
        singular: kind.to_lowercase().into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        verbs: ANSWERED,
        storage_prefix: plural.into(),
        returns_deleted: false,
        subresources: Vec::new(),
        status_alone: false,
        selectable_fields: Vec::new(),
        columns: Vec::new(),
        custom: None,
        hooks: Box::new(NoHooks),
    }
}

/// The review that a kind stands for, if it is one.
pub fn find(kind: &Kind) -> Option<&'static Review> {
    ALL.iter().find(|r| r.group == kind.group && r.kind == kind.kind)
}

/// Answers a review.
pub async fn answer(
    review: &Review,
    api: &Api,
    authenticator: &Authenticator,
    call: &Call,
) -> Result<Response<Body>, Status> {
    let body = call.object()?;
    let validation = call.options.field_validation();
    let mut decoded = pipeline::decode(&call.target.kind, body, validation, &call.warnings)?;
    decoded.place(call.target.namespace.as_deref(), None)?;
    let asked = Asked {
        api,
        authenticator,
        user: &call.user,
        namespace: call.target.namespace.as_deref(),
        object: decoded.object().clone(),
    };
    let object = (review.answer)(asked).await?;
    call.answer(201, &object)
}

/// A user as reviews show it.
fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_review_has_a_schema() {
        for kind in kinds() {
            assert!(kind.schema().is_some(), "{}", kind.kind);
            assert!(find(&kind).is_some(), "{}", kind.kind);
        }
    }
}
