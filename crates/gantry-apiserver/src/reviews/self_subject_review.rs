//! SelfSubjectReview: who am I? `kubectl auth whoami` asks it.

use super::{AUTHENTICATION, user_info};
use crate::answered::{Answer, Answered};
use crate::verbs::rfc3339;
use gantry_api::kind::Scope;
use serde_json::json;
use time::OffsetDateTime;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHENTICATION,
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    scope: Scope::Cluster,
    complete: |_| {},
    answer: Answer::Review(|mut asked| {
        Box::pin(async move {
            asked.object["metadata"] = json!({"creationTimestamp": rfc3339(OffsetDateTime::now_utc())});
            asked.object["status"] = json!({"userInfo": user_info(asked.user)});
            Ok(asked.object)
        })
    }),
};
