//! Kinds that are answered and never stored: questions, bindings, how components do.
//!
//! Each is a file that names itself in [`ALL`]; paths, discovery and OpenAPI derive from there.

use crate::authenticate::Authenticator;
use crate::call::Call;
use crate::respond::Body;
use crate::reviews::{self, Asked};
use crate::verbs::Api;
use crate::{binding, component_status};
use futures::future::BoxFuture;
use gantry_api::kind::{ANSWERED, Kind, NoHooks, Scope};
use gantry_api::status::Status;
use http::Response;
use serde_json::Value;

/// A kind that is answered.
pub struct Answered {
    /// Its group; its version is v1.
    pub group: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Whether it lives in namespaces.
    pub scope: Scope,
    /// What else the kind has.
    pub complete: fn(&mut Kind),
    /// Who answers.
    pub answer: Answer,
}

type Answering<'a> = BoxFuture<'a, Result<Response<Body>, Status>>;

/// How a kind is answered.
pub enum Answer {
    /// A question that is created, and sent back with its answer.
    Review(fn(Asked<'_>) -> BoxFuture<'_, Result<Value, Status>>),
    /// Anything else.
    Call(fn(&Api, Call) -> Answering<'_>),
}

static ALL: [&Answered; 8] = [
    &binding::ANSWERED,
    &component_status::ANSWERED,
    &reviews::local_subject_access_review::REVIEW,
    &reviews::self_subject_access_review::REVIEW,
    &reviews::self_subject_review::REVIEW,
    &reviews::self_subject_rules_review::REVIEW,
    &reviews::subject_access_review::REVIEW,
    &reviews::token_review::REVIEW,
];

/// All kinds that are answered.
pub fn kinds() -> Vec<Kind> {
    let kind = |answered: &&Answered| {
        let mut kind = virtual_kind(answered.group, answered.kind, answered.plural, answered.scope);
        (answered.complete)(&mut kind);
        kind
    };
    ALL.iter().map(kind).collect()
}

/// How a kind is answered, if it is not stored.
pub fn find(kind: &Kind) -> Option<&'static Answered> {
    ALL.iter()
        .copied()
        .find(|a| a.group == kind.group && a.kind == kind.kind)
}

impl Answered {
    /// Whether it is shown as a table to those who ask for one.
    pub fn has_tables(&self) -> bool {
        matches!(self.answer, Answer::Call(_))
    }

    /// Answers a request.
    pub async fn answer(
        &self,
        api: &Api,
        authenticator: &Authenticator,
        call: Call,
    ) -> Result<Response<Body>, Status> {
        match self.answer {
            Answer::Review(answer) => reviews::answer(answer, api, authenticator, &call).await,
            Answer::Call(answer) => answer(api, call).await,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema() {
        for kind in kinds() {
            assert!(kind.schema().is_some(), "{}", kind.kind);
            assert!(find(&kind).is_some(), "{}", kind.kind);
        }
    }
}
