//! Why a request failed.

use crate::transport::TransportError;
use serde_json::Value;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a `Status`.
    #[error("{message}")]
    Status {
        /// HTTP status code.
        code: u16,
        /// Such as `NotFound`.
        reason: String,
        /// What a person reads.
        message: String,
        /// The `details` object, or null.
        details: Value,
    },
    /// There was no answer.
    #[error("the API server cannot be reached: {0}")]
    Transport(#[from] TransportError),
    /// The answer broke off, or was not what the API promises.
    #[error("the API server's answer cannot be read: {0}")]
    Answer(String),
}

impl Error {
    pub(crate) fn of_status(code: u16, status: &Value) -> Self {
        let text = |field: &str| status[field].as_str().unwrap_or("").to_string();
        Error::Status {
            code,
            reason: text("reason"),
            message: text("message"),
            details: status["details"].clone(),
        }
    }

    /// The answer's reason; empty when there was none.
    pub fn reason(&self) -> &str {
        match self {
            Error::Status { reason, .. } => reason,
            _ => "",
        }
    }

    /// The answer's HTTP status code; 0 when there was none.
    pub fn code(&self) -> u16 {
        match self {
            Error::Status { code, .. } => *code,
            _ => 0,
        }
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }

    /// Somebody else wrote the object in between.
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// The object is there already.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// The revision asked for is gone: list again.
    pub fn is_expired(&self) -> bool {
        self.code() == 410
    }

    /// A create was refused because its namespace is being deleted.
    pub fn is_namespace_terminating(&self) -> bool {
        match self {
            Error::Status {
                code: 403, details, ..
            } => details["causes"]
                .as_array()
                .is_some_and(|causes| causes.iter().any(|c| c["reason"] == "NamespaceTerminating")),
            _ => false,
        }
    }
}
