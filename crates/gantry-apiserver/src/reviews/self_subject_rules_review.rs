//! SelfSubjectRulesReview: what may I do in a namespace? `kubectl auth can-i --list` asks it.

use super::AUTHORIZATION;
use crate::answered::{Answer, Answered};
use gantry_api::kind::Scope;
use gantry_api::status::Status;
use serde_json::json;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHORIZATION,
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    scope: Scope::Cluster,
    complete: |_| {},
    answer: Answer::Review(|mut asked| {
        Box::pin(async move {
            let namespace = asked.object["spec"]["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            let rules = asked.api.authorizer.rules_for(asked.user, namespace);
            let mut status = json!({
                "resourceRules": rules.resources, "nonResourceRules": rules.paths, "incomplete": rules.incomplete,
            });
            if !rules.errors.is_empty() {
                status["evaluationError"] = rules.errors.join(", ").into();
            }
            // The answer is a new object, that tells nothing of the question.
            asked.object["metadata"] = json!({});
            asked.object["spec"] = json!({});
            asked.object["status"] = status;
            Ok(asked.object)
        })
    }),
};
