//! The API's errors: `Status` bodies with upstream's codes, reasons and messages.
//!
//! Source of the wording: k8s.io/apimachinery/pkg/api/errors.

use serde_json::{Value, json};

/// An error as the API answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// The `details` object, when there is something to say.
    pub details: Option<Value>,
    /// Where an expired list can be gone on with.
    pub continue_token: Option<String>,
}

impl Status {
    /// An error with no details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    fn about(mut self, group: &str, resource: &str, name: &str) -> Self {
        let mut details = serde_json::Map::new();
        if !name.is_empty() {
            details.insert("name".into(), name.into());
        }
        if !group.is_empty() {
            details.insert("group".into(), group.into());
        }
        if !resource.is_empty() {
            details.insert("kind".into(), resource.into());
        }
        self.details = Some(Value::Object(details));
        self
    }

    /// 404 for an object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Status::new(404, "NotFound", message).about(group, resource, name)
    }

    /// 404 for a path that nothing is served under.
    pub fn no_such_path() -> Self {
        let mut status = Status::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        );
        status.details = Some(json!({}));
        status
    }

    /// 409 on create.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, resource));
        Status::new(409, "AlreadyExists", message).about(group, resource, name)
    }

    /// 409 on update and delete.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(group, resource)
        );
        Status::new(409, "Conflict", message).about(group, resource, name)
    }

    /// 422 with a cause per field. `kind` is the object's kind, not its resource, as upstream has it.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[crate::field::Error]) -> Self {
        let of = qualified(group, kind);
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            // What is said twice is one text, but two causes.
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let message = match texts.as_slice() {
            [one] => format!("{of} \"{name}\" is invalid: {one}"),
            many => format!("{of} \"{name}\" is invalid: [{}]", many.join(", ")),
        };
        let mut status = Status::new(422, "Invalid", message).about(group, kind, name);
        if let Some(details) = status.details.as_mut() {
            details["causes"] = errors
                .iter()
                .map(|e| json!({"reason": e.kind.reason(), "message": e.detail_text(), "field": e.field}))
                .collect();
        }
        status
    }

    /// 403.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        Status::new(403, "Forbidden", message).about(group, resource, name)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Status::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 405: the path is served, but not for this method.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Status::new(405, "MethodNotAllowed", message);
        status.details = Some(json!({}));
        status
    }

    /// 406.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Status::new(406, "NotAcceptable", message)
    }

    /// 410: the revision asked for is no longer there.
    pub fn expired(message: impl Into<String>) -> Self {
        Status::new(410, "Expired", message)
    }

    /// 504 for a revision that has not happened yet.
    pub fn too_large_resource_version(requested: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {requested}, current: {current}");
        let mut status = Status::new(504, "Timeout", message);
        status.details = Some(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }));
        status
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Status::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 415 for a patch: its type is part of what the path takes.
    pub fn no_such_patch_type() -> Self {
        let mut status = Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
        status.details = Some(json!({}));
        status
    }

    /// 500. The text is what broke, for a person.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let text = message.to_string();
        let mut status = Status::new(500, "InternalError", format!("Internal error occurred: {text}"));
        status.details = Some(json!({"causes": [{"message": text}]}));
        status
    }

    /// The `Status` object that goes on the wire.
    pub fn to_object(&self) -> Value {
        let mut object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        // What upstream has no reason for comes without one.
        if !self.reason.is_empty() {
            object["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            object["details"] = details.clone();
        }
        if let Some(token) = &self.continue_token {
            object["metadata"]["continue"] = token.as_str().into();
        }
        object
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `resource` for the core group, `resource.group` for the others.
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_string()
    } else {
        format!("{resource}.{group}")
    }
}
