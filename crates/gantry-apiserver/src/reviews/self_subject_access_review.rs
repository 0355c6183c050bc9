//! SelfSubjectAccessReview: may I do something? `kubectl auth can-i` asks it.

use super::AUTHORIZATION;
use super::access::{self, check_metadata};
use crate::answered::{Answer, Answered};
use gantry_api::kind::Scope;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHORIZATION,
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    scope: Scope::Cluster,
    complete: |_| {},
    answer: Answer::Review(|asked| {
        Box::pin(async move {
            let errors = check_metadata(&asked.object, false).into_iter().collect();
            let user = asked.user;
            access::answer(asked, user, None, errors)
        })
    }),
};
