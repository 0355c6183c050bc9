//! TokenReview: whose token is this?

use super::{AUTHENTICATION, Review, user_info};
use gantry_api::kind::Scope;
use gantry_api::status::Status;
use serde_json::json;

pub(super) const REVIEW: Review = Review {
    group: AUTHENTICATION,
    kind: "TokenReview",
    plural: "tokenreviews",
    scope: Scope::Cluster,
    answer: |mut asked| {
        Box::pin(async move {
            let spec = &asked.object["spec"];
            let token = spec["token"].as_str().unwrap_or_default();
            if token.is_empty() {
                return Err(Status::bad_request(
                    "token is required for TokenReview in authentication",
                ));
            }
            let audiences = spec["audiences"].as_array().into_iter().flatten();
            let audiences: Vec<String> = audiences.filter_map(|a| a.as_str().map(str::to_owned)).collect();
            let status = match asked.authenticator.review(token, &audiences).await {
                Ok((user, audiences)) => {
                    json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
                }
                Err(error) => json!({"user": {}, "error": error.to_string()}),
            };
            asked.object["status"] = status;
            Ok(asked.object)
        })
    },
};
