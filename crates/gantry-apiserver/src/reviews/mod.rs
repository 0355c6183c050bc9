//! Questions to the API server that look like objects: they are created, answered at once, and never stored.
//!
//! One file per review.

mod access;
pub mod local_subject_access_review;
pub mod self_subject_access_review;
pub mod self_subject_review;
pub mod self_subject_rules_review;
pub mod subject_access_review;
pub mod token_review;

use crate::apply::Tracker;
use crate::authenticate::Authenticator;
use crate::call::Call;
use crate::pipeline;
use crate::respond::Body;
use crate::verbs::{Api, wipe};
use futures::future::BoxFuture;
use gantry_api::status::Status;
use gantry_auth::User;
use http::Response;
use serde_json::{Value, json};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// One question.
pub struct Asked<'a> {
    api: &'a Api,
    authenticator: &'a Authenticator,
    user: &'a User,
    namespace: Option<&'a str>,
    /// What was sent, checked against the schema.
    object: Value,
}

/// Answers a review.
pub async fn answer(
    answer: fn(Asked<'_>) -> BoxFuture<'_, Result<Value, Status>>,
    api: &Api,
    authenticator: &Authenticator,
    call: &Call,
) -> Result<Response<Body>, Status> {
    let body = call.object()?;
    let validation = call.options.field_validation();
    let mut decoded = pipeline::decode(&call.target.kind, body, validation, &call.warnings)?;
    decoded.place(call.target.namespace.as_deref(), None)?;
    // A review has no such fields, and its writer is noted in it all the same.
    wipe(decoded.metadata());
    Tracker::of(call).track(&mut decoded, None);
    let asked = Asked {
        api,
        authenticator,
        user: &call.user,
        namespace: call.target.namespace.as_deref(),
        object: decoded.object().clone(),
    };
    let object = answer(asked).await?;
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
