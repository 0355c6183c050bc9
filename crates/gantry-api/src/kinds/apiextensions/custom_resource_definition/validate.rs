//! The rules of a definition outside its schemas. Source: pkg/apis/apiextensions/validation/validation.go.
//!
//! Upstream checks the fields of versions that are the same in all of them once, under the place that v1beta1 had for
//! them; that is where errors point.

use super::{conversion, schema, selectable, structural};
use crate::field::{Error, ErrorKind, Path};
use crate::formats;
use crate::custom_resource::has_condition;
use crate::kinds::checks::{Errors, immutable, one_of};
use crate::kinds::values::{entries, flag, given, list, text};
use crate::structural::Pattern;
use serde_json::Value;
use std::collections::BTreeSet;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const APPROVAL: &str = "api-approved.kubernetes.io";

/// Checks a new definition, or a change of `old`.
pub fn validate(object: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Errors::new();
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    group(&mut errors, &path.child("group"), text(&spec["group"]));
    one_of(&mut errors, &path.child("scope"), &spec["scope"], &["Cluster", "Namespaced"]);
    versions(&mut errors, &path, spec);
    names(&mut errors, &path.child("names"), &spec["names"], true);
    for (field, top) in OWN.iter().filter(|(field, _)| shared(spec, field)) {
        own(&mut errors, &path.child(top), field, spec, &list(&spec["versions"])[0]);
    }
    conversion::validate(&mut errors, &path.child("conversion"), &spec["conversion"]);
    if let Some(old) = old {
        fixed(&mut errors, &path, spec, old);
    }
    errors.extend(status(object));
    stored_versions(&mut errors, object);
    approval(&mut errors, object, old);
    if flag(&spec["preserveUnknownFields"]) && !old.is_some_and(|o| flag(&o["spec"]["preserveUnknownFields"])) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(path.child("preserveUnknownFields"), true, detail));
    }
    errors
}

/// What an update may not change: where objects are stored, and once they may be there how they are named.
fn fixed(errors: &mut Errors, path: &Path, spec: &Value, old: &Value) {
    let (names, before) = (path.child("names"), &old["spec"]);
    let of_names =
        |errors: &mut Errors, field| immutable(errors, &names.child(field), &spec["names"][field], &before["names"][field]);
    if has_condition(old, "Established") {
        immutable(errors, &path.child("scope"), &spec["scope"], &before["scope"]);
        of_names(errors, "kind");
    }
    immutable(errors, &path.child("group"), &spec["group"], &before["group"]);
    of_names(errors, "plural");
}

/// Checks a definition's status.
pub fn status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    names(&mut errors, &path.child("acceptedNames"), &object["status"]["acceptedNames"], false);
    errors
}

fn group(errors: &mut Errors, path: &Path, group: &str) {
    let problems = formats::dns_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !problems.is_empty() {
        errors.push(Error::invalid(path, group, problems.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn label(errors: &mut Errors, path: &Path, value: &str) {
    let problems = formats::dns1035_label(value);
    if !problems.is_empty() {
        errors.push(Error::invalid(path, value, problems.join(",")));
    }
}

fn names(errors: &mut Errors, path: &Path, names: &Value, required: bool) {
    let all = ["plural", "singular", "kind", "listKind"];
    if required {
        let absent = all.iter().filter(|field| text(&names[**field]).is_empty());
        errors.extend(absent.map(|field| Error::required(path.child(field), "")));
    }
    for field in all.iter().filter(|field| !text(&names[**field]).is_empty()) {
        let (at, name) = (path.child(field), text(&names[*field]));
        if field.ends_with("ind") {
            let problems = formats::dns1035_label(&name.to_lowercase());
            if !problems.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
                errors.push(Error::invalid(at, name, detail));
            }
        } else {
            label(errors, &at, name);
        }
    }
    for field in ["shortNames", "categories"] {
        if field == "categories" && !text(&names["kind"]).is_empty() && names["kind"] == names["listKind"] {
            let detail = "kind and listKind may not be the same";
            errors.push(Error::invalid(path.child("listKind"), text(&names["listKind"]), detail));
        }
        for (i, name) in list(&names[field]).iter().enumerate() {
            label(errors, &path.child(field).index(i), text(name));
        }
    }
}

/// What a version may have of its own.
const OWN: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// Whether all versions have a field alike. Upstream moves such a field out of them.
fn shared(spec: &Value, field: &str) -> bool {
    let all = list(&spec["versions"]);
    !all.is_empty() && all.iter().all(|v| v[field] == all[0][field])
}

fn versions(errors: &mut Errors, path: &Path, spec: &Value) {
    let all = list(&spec["versions"]);
    let at = path.child("versions");
    let empty = Value::Null;
    let first = all.first().unwrap_or(&empty);
    if !shared(spec, "schema") || !given(&first["schema"]["openAPIV3Schema"]) {
        for (i, version) in all.iter().enumerate() {
            if !given(&version["schema"]["openAPIV3Schema"]) {
                let place = at.index(i);
                let place = place.child("schema");
                errors.push(Error::required(place.child("openAPIV3Schema"), ""));
            }
        }
    }
    let mut seen = BTreeSet::new();
    let twice = !all.iter().all(|v| seen.insert(text(&v["name"])));
    for (i, version) in all.iter().enumerate() {
        let place = at.index(i);
        label(errors, &place.child("name"), text(&version["name"]));
        deprecation(errors, &place.child("deprecationWarning"), version);
        for (field, _) in OWN.iter().filter(|(field, _)| !shared(spec, field)) {
            own(errors, &place.child(field), field, spec, version);
        }
    }
    let shown = || {
        let mut shown = spec["versions"].clone();
        for version in shown.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            version.retain(|field, _| !OWN.iter().any(|(own, _)| own == field && shared(spec, own)));
        }
        shown
    };
    if twice {
        errors.push(Error::invalid(at, shown(), "must contain unique version names"));
    }
    if all.iter().filter(|v| flag(&v["storage"])).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(Error::invalid(at, shown(), detail));
    }
    // v1beta1 named the first version on its own, too.
    let name = text(&first["name"]);
    if !name.is_empty() {
        label(errors, &path.child("version"), name);
    }
}

fn own(errors: &mut Errors, path: &Path, field: &str, spec: &Value, version: &Value) {
    match field {
        "schema" => {
            let root = &version["schema"]["openAPIV3Schema"];
            if given(root) {
                let at = path.child("openAPIV3Schema");
                let before = errors.len();
                schema::root(errors, &at, root, version["subresources"]["status"].is_object());
                // What cannot be read as a structural schema is not checked to be one.
                if structural::is_readable(root) && structural::validate(errors, &at, root) {
                    schema::defaults(errors, &at, root);
                }
                schema::validate(errors, &at, root);
                if errors.len() == before && !structural::is_readable(root) {
                    // All else that no structural schema has is refused above.
                    errors.push(Error::invalid(at, "", "OpenAPIV3Schema 'schema' is not supported"));
                }
            }
        }
        "subresources" => scale(errors, &path.child("scale"), &version["subresources"]["scale"]),
        "additionalPrinterColumns" => {
            for (i, column) in list(&version[field]).iter().enumerate() {
                self::column(errors, &path.index(i), column);
            }
        }
        _ => {
            let alike = (shared(spec, "schema"), shared(spec, "selectableFields"));
            selectable::validate(errors, path, version, alike);
        }
    }
}

fn deprecation(errors: &mut Errors, path: &Path, version: &Value) {
    let Some(warning) = version["deprecationWarning"].as_str() else { return };
    // Behind a pointer, upstream shows it as JSON.
    let shown = Value::from(warning).to_string();
    let mut problem =
        |detail: String| errors.push(Error::invalid(path, warning, detail).showing(shown.clone()));
    if !flag(&version["deprecated"]) {
        return problem("can only be set for deprecated versions".into());
    }
    if warning.len() > 256 {
        problem("must be <= 256 characters long".into());
    }
    if warning.is_empty() {
        problem("must not be an empty string".into());
    }
    let printable = Pattern::new(r"[\pL\pM\pN\pP\pS ]");
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| !printable.matches(&c.to_string())) {
        problem(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        ));
    }
}

fn column(errors: &mut Errors, path: &Path, column: &Value) {
    if text(&column["name"]).is_empty() {
        errors.push(Error::required(path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match text(&column["type"]) {
        "" => errors.push(Error::required(path.child("type"), types)),
        type_ if !COLUMN_TYPES.contains(&type_) => errors.push(Error::invalid(path.child("type"), type_, types)),
        _ => {}
    }
    let format = text(&column["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(Error::invalid(path.child("format"), format, detail));
    }
    match text(&column["jsonPath"]) {
        "" => errors.push(Error::required(path.child("JSONPath"), "")),
        json_path => simple_path(errors, &path.child("JSONPath"), json_path, &[]),
    }
}

fn simple_path(errors: &mut Errors, path: &Path, json_path: &str, under: &[&str]) {
    if !json_path.starts_with('.') {
        let detail = "must be a simple json path starting with .";
        errors.push(Error::invalid(path, json_path, detail));
    } else if !under.is_empty() && !under.iter().any(|prefix| json_path.starts_with(&format!(".{prefix}."))) {
        let detail = match under {
            [one] => format!("should be a json path under .{one}"),
            many => format!("should be a json path under either .{}", many.join(" or .")),
        };
        errors.push(Error::invalid(path, json_path, detail));
    }
}

fn scale(errors: &mut Errors, path: &Path, scale: &Value) {
    if !scale.is_object() {
        return;
    }
    for (field, under) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
        match text(&scale[field]) {
            "" => errors.push(Error::required(path.child(field), "")),
            json_path => simple_path(errors, &path.child(field), json_path, &[under]),
        }
    }
    let selector = text(&scale["labelSelectorPath"]);
    if !selector.is_empty() {
        simple_path(errors, &path.child("labelSelectorPath"), selector, &["spec", "status"]);
    }
}

fn stored_versions(errors: &mut Errors, object: &Value) {
    let path = Path::new("status");
    let (path, stored) = (path.child("storedVersions"), &object["status"]["storedVersions"]);
    if list(stored).is_empty() {
        errors.push(Error::invalid(path, stored.clone(), "must have at least one stored version"));
        return;
    }
    let versions = list(&object["spec"]["versions"]);
    for version in versions.iter().filter(|v| flag(&v["storage"])) {
        if !list(stored).contains(&version["name"]) {
            let detail = format!("must have the storage version {}", text(&version["name"]));
            errors.push(Error::invalid(path, stored.clone(), detail));
        }
    }
    for (i, name) in list(stored).iter().enumerate() {
        if !versions.iter().any(|v| v["name"] == *name) {
            let name = text(name);
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(Error::invalid(path.index(i), name, detail));
        }
    }
}

/// Whether a text is the address of something on some host.
fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(of_scheme)
        && !rest.is_empty()
        && !rest.starts_with(['/', '?'])
        && !rest.contains(|c: char| c.is_control() || c == ' ')
}

/// Groups of the project's own need a note of who approved them.
fn approval(errors: &mut Errors, object: &Value, old: Option<&Value>) {
    let group = text(&object["spec"]["group"]);
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|g| group == *g || group.ends_with(&format!(".{g}")));
    let note = |object: &Value| {
        let found = entries(&object["metadata"]["annotations"]).find(|(key, _)| *key == APPROVAL);
        found.map_or(String::new(), |(_, v)| text(v).to_string())
    };
    let value = note(object);
    let good = value.starts_with("unapproved") || is_address(&value);
    if !protected || good || old.is_some_and(|old| note(old) == value) {
        return;
    }
    let field = format!("metadata.annotations[{APPROVAL}]");
    errors.push(match value.as_str() {
        "" => Error::required(field, "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111"),
        value => {
            let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a \
                          reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111";
            Error::new(ErrorKind::Invalid, field, value.into(), detail)
        }
    });
}
