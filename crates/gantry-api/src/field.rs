//! Field errors, as validation reports them. Source of the wording: k8s.io/apimachinery/pkg/util/validation/field.

use serde_json::Value;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A value is missing.
    Required,
    /// A value is malformed.
    Invalid,
    /// A value is not one of those allowed.
    NotSupported,
    /// A value is allowed, but not here or not now.
    Forbidden,
    /// A value appears twice.
    Duplicate,
    /// A value is too long.
    TooLong,
    /// A list has too many items.
    TooMany,
    /// A referenced value does not exist.
    NotFound,
}

impl ErrorKind {
    /// The reason in a `Status` cause.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::NotFound => "FieldValueNotFound",
        }
    }

    fn text(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotFound => "Not found",
        }
    }

    fn shows_value(self) -> bool {
        matches!(
            self,
            ErrorKind::Invalid | ErrorKind::NotSupported | ErrorKind::Duplicate | ErrorKind::NotFound
        )
    }
}

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What sort of error.
    pub kind: ErrorKind,
    /// Path of the field, such as `spec.containers[0].name`.
    pub field: String,
    /// The offending value; shown for some kinds only.
    pub value: Value,
    /// What to do about it.
    pub detail: String,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, field: impl Into<String>, value: Value, detail: impl Into<String>) -> Self {
        Error {
            kind,
            field: field.into(),
            value,
            detail: detail.into(),
        }
    }

    /// A value is missing.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Required, field, Value::Null, detail)
    }

    /// A value is malformed.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Invalid, field, value.into(), detail)
    }

    /// A value is not one of `supported`.
    pub fn not_supported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Error::new(
            ErrorKind::NotSupported,
            field,
            value.into(),
            format!("supported values: {}", list.join(", ")),
        )
    }

    /// A value is allowed, but not here or not now.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Forbidden, field, Value::Null, detail)
    }

    /// A value appears twice.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Error::new(ErrorKind::Duplicate, field, value.into(), "")
    }

    /// The text without the field's path, as a `Status` cause carries it.
    pub fn detail_text(&self) -> String {
        let mut text = self.kind.text().to_string();
        if self.kind.shows_value() {
            text.push_str(&format!(": {}", self.value));
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(": {}", self.detail));
        }
        text
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.detail_text())
    }
}
