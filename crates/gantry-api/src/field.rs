//! Field errors, as validation reports them. Source of the wording: k8s.io/apimachinery/pkg/util/validation/field.

use crate::apply::validate::go;
use crate::schema::Schema;
use serde_json::Value;
use std::fmt;

/// Where a field is, such as `spec.containers[0].name`. Written out only when an error names it, so that checking a
/// good object costs no text.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    part: Part<'a>,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// A path that begins with `field`.
    pub fn new(field: &'a str) -> Self {
        Path {
            parent: None,
            part: Part::Field(field),
        }
    }

    /// A field of what this path names.
    pub fn child(&'a self, field: &'a str) -> Path<'a> {
        self.with(Part::Field(field))
    }

    /// An item of the list this path names.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        self.with(Part::Index(index))
    }

    /// An entry of the map this path names.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        self.with(Part::Key(key))
    }

    fn with(&'a self, part: Part<'a>) -> Path<'a> {
        Path {
            parent: Some(self),
            part,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.part {
            Part::Field(field) if self.parent.is_some() => write!(f, ".{field}"),
            Part::Field(field) => f.write_str(field),
            Part::Index(index) => write!(f, "[{index}]"),
            Part::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> String {
        path.to_string()
    }
}

impl From<&Path<'_>> for String {
    fn from(path: &Path<'_>) -> String {
        path.to_string()
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A value is missing.
    Required,
    /// A value is malformed.
    Invalid,
    /// A value is of the wrong type.
    TypeInvalid,
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
    /// Something else failed, which the value cannot help.
    Internal,
}

impl ErrorKind {
    /// The reason in a `Status` cause.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Internal => "InternalError",
        }
    }

    fn text(self) -> &'static str {
        match self {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotFound => "Not found",
            ErrorKind::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        matches!(
            self,
            ErrorKind::Invalid
                | ErrorKind::TypeInvalid
                | ErrorKind::NotSupported
                | ErrorKind::Duplicate
                | ErrorKind::NotFound
                | ErrorKind::TooMany
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
    /// How the value is shown when that is not its JSON; empty when it is not shown at all.
    shown: Option<String>,
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
            shown: None,
            detail: detail.into(),
        }
    }

    /// A value is malformed, in a way that showing it would not tell.
    pub fn malformed(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Error {
            shown: Some(String::new()),
            ..Error::new(ErrorKind::Invalid, field, Value::Null, detail)
        }
    }

    /// The same error, with the value shown as a text of its own.
    #[must_use]
    pub fn showing(self, text: String) -> Self {
        Error {
            shown: Some(text),
            ..self
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

    /// A referenced value does not exist.
    pub fn not_found(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Error::new(ErrorKind::NotFound, field, value.into(), "")
    }

    /// A value is longer than `max` bytes.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max} {unit}");
        Error::new(ErrorKind::TooLong, field, Value::Null, detail)
    }

    /// A list of `count` items has more than `max`.
    pub fn too_many(field: impl Into<String>, count: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Error::new(ErrorKind::TooMany, field, count.into(), detail)
    }

    /// Has the value shown as upstream shows one at the field's place in an object of this schema.
    pub fn show_by(&mut self, schema: Schema) {
        if self.kind.shows_value() && self.shown.is_none() {
            self.shown = schema.shown(&self.field, &self.value);
        }
    }

    /// The text without the field's path, as a `Status` cause carries it.
    pub fn detail_text(&self) -> String {
        let mut text = self.kind.text().to_string();
        match &self.shown {
            _ if !self.kind.shows_value() => {}
            None => match &self.value {
                Value::String(value) => text.push_str(&format!(": {}", quoted(value))),
                Value::Number(n) => text.push_str(&format!(": {}", go(&Value::Number(n.clone())))),
                value => text.push_str(&format!(": {value}")),
            },
            Some(shown) if shown.is_empty() => {}
            Some(shown) => text.push_str(&format!(": {shown}")),
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(": {}", self.detail));
        }
        text
    }
}

/// A text as Go quotes it.
pub fn quoted(text: &str) -> String {
    let one = |c: char| match c {
        '\u{7}' => "\\a".into(),
        '\u{8}' => "\\b".into(),
        '\u{b}' => "\\v".into(),
        '\u{c}' => "\\f".into(),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '"' => "\\\"".into(),
        '\\' => "\\\\".into(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if is_print(c) => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    };
    let inside: String = text.chars().map(one).collect();
    format!("\"{inside}\"")
}

/// Whether Go would print the character as it is.
pub fn is_print(c: char) -> bool {
    // Characters that only say how to show others.
    let format = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    c == ' ' || !(format || c.is_control() || c.is_whitespace())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.detail_text())
    }
}
