//! SelfSubjectAccessReview: may I do something? `kubectl auth can-i` asks it.

use super::access::{self, check_metadata};
use super::{AUTHORIZATION, Review};
use gantry_api::kind::Scope;

pub(super) const REVIEW: Review = Review {
    group: AUTHORIZATION,
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    scope: Scope::Cluster,
    answer: |asked| {
        Box::pin(async move {
            let errors = check_metadata(&asked.object, false).into_iter().collect();
            let user = asked.user;
            access::answer(asked, user, None, errors)
        })
    },
};
