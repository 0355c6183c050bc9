//! SubjectAccessReview: may someone do something?

use super::AUTHORIZATION;
use super::access::{self, check_metadata, check_subject};
use crate::answered::{Answer, Answered};
use gantry_api::kind::Scope;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHORIZATION,
    kind: "SubjectAccessReview",
    plural: "subjectaccessreviews",
    scope: Scope::Cluster,
    complete: |_| {},
    answer: Answer::Review(|asked| {
        Box::pin(async move {
            let spec = &asked.object["spec"];
            let user = access::subject(spec);
            let of_user = check_subject(spec);
            let errors = check_metadata(&asked.object, false).into_iter().collect();
            access::answer(asked, &user, of_user, errors)
        })
    }),
};
