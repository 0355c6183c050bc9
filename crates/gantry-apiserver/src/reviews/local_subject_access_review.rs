//! LocalSubjectAccessReview: may someone do something in this namespace?

use super::AUTHORIZATION;
use super::access::{self, check_metadata, check_subject};
use crate::answered::{Answer, Answered};
use gantry_api::field::Error;
use gantry_api::kind::Scope;
use gantry_api::meta;
use gantry_api::status::Status;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHORIZATION,
    kind: "LocalSubjectAccessReview",
    plural: "localsubjectaccessreviews",
    scope: Scope::Namespaced,
    complete: |_| {},
    answer: Answer::Review(|asked| {
        Box::pin(async move {
            if asked.namespace.is_none() {
                return Err(Status::bad_request("namespace is required on this type: "));
            }
            let spec = &asked.object["spec"];
            let user = access::subject(spec);
            let of_user = check_subject(spec);
            let mut errors: Vec<Error> = check_metadata(&asked.object, true).into_iter().collect();
            let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
            let namespace = resource["namespace"].as_str().unwrap_or_default();
            if resource.is_object() && namespace != meta::namespace(&asked.object) {
                let at = "spec.resourceAttributes.namespace";
                errors.push(Error::invalid(at, namespace, "must match metadata.namespace"));
            }
            if path.is_object() {
                let why = "disallowed on this kind of request";
                errors.push(Error::invalid("spec.nonResourceAttributes", path.clone(), why));
            }
            access::answer(asked, &user, of_user, errors)
        })
    }),
};
