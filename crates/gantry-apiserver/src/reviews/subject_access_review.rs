//! SubjectAccessReview: may someone do something?

use super::access::{self, check_metadata, check_subject};
use super::{AUTHORIZATION, Review};
use gantry_api::kind::Scope;

pub(super) const REVIEW: Review = Review {
    group: AUTHORIZATION,
    kind: "SubjectAccessReview",
    plural: "subjectaccessreviews",
    scope: Scope::Cluster,
    answer: |asked| {
        Box::pin(async move {
            let spec = &asked.object["spec"];
            let user = access::subject(spec);
            let of_user = check_subject(spec);
            let errors = check_metadata(&asked.object, false).into_iter().collect();
            access::answer(asked, &user, of_user, errors)
        })
    },
};
