//! SelfSubjectReview: who am I? `kubectl auth whoami` asks it.

use super::{AUTHENTICATION, Review, user_info};
use crate::verbs::rfc3339;
use gantry_api::kind::Scope;
use serde_json::json;
use time::OffsetDateTime;

pub(super) const REVIEW: Review = Review {
    group: AUTHENTICATION,
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    scope: Scope::Cluster,
    answer: |mut asked| {
        Box::pin(async move {
            asked.object["metadata"] = json!({"creationTimestamp": rfc3339(OffsetDateTime::now_utc())});
            asked.object["status"] = json!({"userInfo": user_info(asked.user)});
            Ok(asked.object)
        })
    },
};
