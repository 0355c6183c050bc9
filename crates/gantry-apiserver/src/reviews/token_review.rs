//! TokenReview: whose token is this?

use super::{AUTHENTICATION, user_info};
use crate::answered::{Answer, Answered};
use gantry_api::kind::Scope;
use gantry_api::status::Status;
use serde_json::json;

/// The review.
pub static REVIEW: Answered = Answered {
    group: AUTHENTICATION,
    kind: "TokenReview",
    plural: "tokenreviews",
    scope: Scope::Cluster,
    complete: |_| {},
    answer: Answer::Review(|mut asked| {
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
            let reviewed = asked.authenticator.review(token, &audiences).await;
            // What the client says in a status stays where the answer has nothing to say.
            let status = &mut asked.object["status"];
            if !status.is_object() {
                *status = json!({});
            }
            match reviewed {
                Ok((user, audiences)) => {
                    status["authenticated"] = true.into();
                    status["user"] = user_info(&user);
                    status["audiences"] = audiences.into();
                }
                Err(error) => {
                    if let Some(status) = status.as_object_mut() {
                        status.remove("authenticated");
                        status.entry("user").or_insert(json!({}));
                    }
                    status["error"] = error.to_string().into();
                }
            }
            Ok(asked.object)
        })
    }),
};
