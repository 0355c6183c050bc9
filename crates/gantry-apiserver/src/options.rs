//! Query parameters, read once.
//!
//! Source of the rules: k8s.io/apimachinery/pkg/apis/meta/v1/validation and pkg/runtime/conversion.go.

use gantry_api::field::{Error, ErrorKind, is_print};
use gantry_api::status::Status;
use serde_json::Value;
use std::collections::HashMap;
use std::num::{IntErrorKind, ParseIntError};

/// Managers' names may be this long.
const MANAGER_LIMIT: usize = 128;

/// A request's query parameters.
pub struct Options(HashMap<String, Vec<String>>);

/// What happens to fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped in silence.
    Ignore,
    /// Dropped, with a warning each.
    Warn,
    /// The request fails.
    Strict,
}

impl Options {
    /// Parses a query string; a repeated parameter's first value counts.
    pub fn parse(query: &str) -> Self {
        let decode = |s: &str| {
            let spaced = s.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced)
                .decode_utf8_lossy()
                .into_owned()
        };
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decode(name)).or_default().push(decode(value));
        }
        Options(all)
    }

    /// A parameter's values.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A parameter's text; empty when absent.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }

    /// Whether a parameter is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A boolean parameter: whatever is there but says neither 0 nor false is true.
    pub fn flag(&self, name: &str) -> bool {
        let text = self.text(name);
        self.has(name) && text != "0" && !text.eq_ignore_ascii_case("false")
    }

    /// A whole number that may be absent.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|error: ParseIntError| {
                let why = match error.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            }),
        }
    }

    /// Checks the options of a write; `kind` is what upstream calls them, such as `CreateOptions`.
    pub fn check(&self, kind: &str, apply: bool) -> Result<(), Status> {
        let mut errors = Vec::new();
        if kind == "PatchOptions" && apply && self.text("fieldManager").is_empty() {
            errors.push(Error::required("fieldManager", "is required for apply patch"));
        }
        if kind == "PatchOptions" && !apply && self.has("force") {
            errors.push(Error::forbidden(
                "force",
                "may not be specified for non-apply patch",
            ));
        }
        field_manager(&mut errors, self.text("fieldManager"));
        dry_run(&mut errors, self.all("dryRun"));
        let validation = self.text("fieldValidation");
        let supported = ["", "Ignore", "Strict", "Warn"];
        if !supported.contains(&validation) {
            errors.push(Error::not_supported("fieldValidation", validation, &supported));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid("meta.k8s.io", kind, "", &errors)),
        }
    }

    /// Whether nothing is to be stored. [`Options::check`] lets no other value through than `All`.
    pub fn dry_run(&self) -> bool {
        self.has("dryRun")
    }

    /// What is to happen to unknown fields; by default a warning.
    pub fn field_validation(&self) -> FieldValidation {
        match self.text("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => FieldValidation::Warn,
        }
    }
}

/// The rules of `fieldManager`.
fn field_manager(errors: &mut Vec<Error>, name: &str) {
    if name.len() > MANAGER_LIMIT {
        errors.push(Error::too_long("fieldManager", MANAGER_LIMIT));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(Error::invalid("fieldManager", name, detail));
    }
}

/// The rules of `dryRun`, of a query or of a body.
pub fn dry_run(errors: &mut Vec<Error>, values: &[String]) {
    if values.iter().any(|v| v != "All") {
        let all = Value::from(values.to_vec());
        errors.push(Error::new(
            ErrorKind::NotSupported,
            "dryRun",
            all,
            "supported values: \"All\"",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_options() {
        let check = |query: &str, kind: &str, apply: bool, expected: &str| {
            let found = Options::parse(query).check(kind, apply).err();
            let found = found.map_or(String::new(), |s| s.message);
            let (_, found) = found.split_once("is invalid: ").unwrap_or(("", &found));
            assert_eq!(found, expected, "{query}");
        };
        check(
            "dryRun=All&dryRun=All&fieldValidation=",
            "CreateOptions",
            false,
            "",
        );
        check(
            "dryRun=all",
            "CreateOptions",
            false,
            r#"dryRun: Unsupported value: ["all"]: supported values: "All""#,
        );
        check(
            "fieldValidation=Nope",
            "UpdateOptions",
            false,
            r#"fieldValidation: Unsupported value: "Nope": supported values: "", "Ignore", "Strict", "Warn""#,
        );
        check(
            "",
            "PatchOptions",
            true,
            "fieldManager: Required value: is required for apply patch",
        );
        check(
            "force=true",
            "PatchOptions",
            false,
            "force: Forbidden: may not be specified for non-apply patch",
        );
        check(
            "fieldManager=%07",
            "CreateOptions",
            false,
            r#"fieldManager: Invalid value: "\a": invalid character U+0007 (at position 0)"#,
        );
        check(
            &format!("fieldManager={}", "x".repeat(129)),
            "CreateOptions",
            false,
            "fieldManager: Too long: may not be more than 128 bytes",
        );
    }

    #[test]
    fn flags_and_numbers() {
        let options = Options::parse("a=0&b=FALSE&c=&d=x&e=-1&f=1&f=2");
        for (name, expected) in [
            ("a", false),
            ("b", false),
            ("c", true),
            ("d", true),
            ("none", false),
        ] {
            assert_eq!(options.flag(name), expected, "{name}");
        }
        assert_eq!(options.number("e"), Ok(Some(-1)));
        assert_eq!(options.number("f"), Ok(Some(1)));
        assert!(options.number("d").unwrap_err().message.contains("parsing \"x\""));
    }
}
