//! Rules that several kinds share. Each adds what is wrong to `errors`.

use super::values::{entries, given, list, number, same, text};
use crate::field::{Error, Path};
use crate::formats::{self, Problems};
use crate::quantity::Quantity;
use serde_json::Value;

/// What is wrong so far.
pub type Errors = Vec<Error>;

/// A value must have a format.
pub fn format(errors: &mut Errors, path: &Path, value: &str, format: fn(&str) -> Problems) {
    for problem in format(value) {
        errors.push(Error::invalid(path, value, problem));
    }
}

/// A value must be there and have a format.
pub fn required_format(errors: &mut Errors, path: &Path, value: &str, rule: fn(&str) -> Problems) {
    if value.is_empty() {
        errors.push(Error::required(path, ""));
    } else {
        format(errors, path, value, rule);
    }
}

/// A value must have a format if it is there.
pub fn optional_format(errors: &mut Errors, path: &Path, value: &Value, rule: fn(&str) -> Problems) {
    if given(value) {
        format(errors, path, text(value), rule);
    }
}

/// A name in a domain, such as `example.com/controller`, must be there and well formed.
pub fn domain_prefixed_path(errors: &mut Errors, path: &Path, value: &str) {
    if value.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            format(errors, path, host, formats::dns_subdomain);
            format(errors, path, rest, formats::http_path);
        }
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(Error::invalid(path, value, detail));
        }
    }
}

/// A text must be there.
pub fn required(errors: &mut Errors, path: &Path, value: &Value) {
    if text(value).is_empty() {
        errors.push(Error::required(path, ""));
    }
}

/// A text must be one of `supported`.
pub fn one_of(errors: &mut Errors, path: &Path, value: &Value, supported: &[&str]) {
    match text(value) {
        "" => errors.push(Error::required(path, "")),
        value if supported.contains(&value) => {}
        value => errors.push(Error::not_supported(path, value, supported)),
    }
}

/// A text must be one of `supported` if it is there.
pub fn optional_one_of(errors: &mut Errors, path: &Path, value: &Value, supported: &[&str]) {
    if given(value) && !supported.contains(&text(value)) {
        errors.push(Error::not_supported(path, value.clone(), supported));
    }
}

/// A number must not be negative.
pub fn nonnegative(errors: &mut Errors, path: &Path, value: &Value) {
    if number(value) < 0 {
        errors.push(Error::invalid(path, value.clone(), NEGATIVE));
    }
}

/// A number must not be below or above a bound, if it is there.
pub fn optional_bounds(errors: &mut Errors, path: &Path, value: &Value, least: i64, most: i64) {
    let bound = match number(value) {
        _ if !given(value) => return,
        low if low < least => format!("must be greater than or equal to {least}"),
        high if high > most => format!("must be less than or equal to {most}"),
        _ => return,
    };
    errors.push(Error::invalid(path, value.clone(), bound));
}

/// A value must be a count or a percentage.
pub fn count_or_percent(errors: &mut Errors, path: &Path, value: &Value) {
    match value {
        Value::String(percent) => format(errors, path, percent, formats::percent),
        number => nonnegative(errors, path, number),
    }
}

/// A value must be a count or a percentage, and 100% at most.
pub fn count_or_part(errors: &mut Errors, path: &Path, value: &Value) {
    count_or_percent(errors, path, value);
    if value.is_string() && amount(value) > 100 {
        errors.push(Error::invalid(
            path,
            value.clone(),
            "must not be greater than 100%",
        ));
    }
}

/// The number of a count or percentage.
pub fn amount(value: &Value) -> i64 {
    match value {
        Value::String(percent) => percent.trim_end_matches('%').parse().unwrap_or(0),
        other => number(other),
    }
}

/// A number must be in a range if it is there.
pub fn optional_range(errors: &mut Errors, path: &Path, value: &Value, range: fn(i64) -> Problems) {
    if given(value) {
        for problem in range(number(value)) {
            errors.push(Error::invalid(path, value.clone(), problem));
        }
    }
}

const NEGATIVE: &str = "must be greater than or equal to 0";

/// A field must not change.
pub fn immutable(errors: &mut Errors, path: &Path, new: &Value, old: &Value) {
    if !same(new, old) {
        errors.push(Error::invalid(path, new.clone(), "field is immutable"));
    }
}

/// Labels must have valid keys and values.
pub fn labels(errors: &mut Errors, path: &Path, labels: &Value) {
    for (key, value) in entries(labels) {
        format(errors, path, key, formats::qualified_name);
        format(errors, path, text(value), formats::label_value);
    }
}

/// Annotations must have valid keys, and all of them 256 KiB at most.
pub fn annotations(errors: &mut Errors, path: &Path, annotations: &Value) {
    const LIMIT: usize = 256 << 10;
    let mut size = 0;
    for (key, value) in entries(annotations) {
        // Case does not matter in annotations' keys.
        for problem in formats::qualified_name(&key.to_lowercase()) {
            errors.push(Error::invalid(path, key.as_str(), problem));
        }
        size += key.len() + text(value).len();
    }
    if size > LIMIT {
        errors.push(Error::too_long(path, LIMIT));
    }
}

/// The metadata of a template: labels and annotations, and nothing else.
pub fn template_metadata(errors: &mut Errors, path: &Path, metadata: &Value) {
    annotations(errors, &path.child("annotations"), &metadata["annotations"]);
    labels(errors, &path.child("labels"), &metadata["labels"]);
    for (field, value) in entries(metadata) {
        if !matches!(field.as_str(), "annotations" | "labels") && given(value) {
            // By the name in Go, of which the first letter is made small.
            let field = match field.as_str() {
                "uid" => "uID",
                field => field,
            };
            errors.push(Error::forbidden(path.child(field), "cannot be set"));
        }
    }
}

/// A LabelSelector must be well formed.
pub fn label_selector(errors: &mut Errors, path: &Path, selector: &Value) {
    labels(errors, &path.child("matchLabels"), &selector["matchLabels"]);
    let expressions = path.child("matchExpressions");
    for (i, expression) in list(&selector["matchExpressions"]).iter().enumerate() {
        let path = expressions.index(i);
        let values = list(&expression["values"]);
        match text(&expression["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(path.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let detail = "not a valid selector operator";
                errors.push(Error::invalid(path.child("operator"), other, detail));
            }
        }
        format(
            errors,
            &path.child("key"),
            text(&expression["key"]),
            formats::qualified_name,
        );
        for (i, value) in values.iter().enumerate() {
            let path = path.child("values");
            format(errors, &path.index(i), text(value), formats::label_value);
        }
    }
}

/// Whether labels fit a well-formed LabelSelector.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let fits = |expression: &Value| {
        let value = &labels[text(&expression["key"])];
        let among = list(&expression["values"]).contains(value);
        match text(&expression["operator"]) {
            "In" => among,
            "NotIn" => !among,
            "Exists" => given(value),
            _ => !given(value),
        }
    };
    entries(&selector["matchLabels"]).all(|(key, value)| labels[key] == *value)
        && list(&selector["matchExpressions"]).iter().all(fits)
}

/// A port must be a number in range, or a name.
pub fn port_or_name(errors: &mut Errors, path: &Path, port: &Value) {
    match port {
        Value::String(name) => format(errors, path, name, formats::port_name),
        number_ => {
            let port = number(number_);
            for problem in formats::port_number(port) {
                errors.push(Error::invalid(path, port, problem));
            }
        }
    }
}

/// A port's number must be in range.
pub fn port(errors: &mut Errors, path: &Path, port: &Value) {
    let port = number(port);
    for problem in formats::port_number(port) {
        errors.push(Error::invalid(path, port, problem));
    }
}

/// A quantity, 0 when absent. Decoding has refused what is no quantity.
pub fn quantity(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or(Quantity::ZERO)
}

/// A quantity must not be less than nothing.
pub fn basic_quantity(errors: &mut Errors, path: &Path, value: &Value) {
    let amount = quantity(value).value();
    if amount < 0 {
        errors.push(Error::invalid(path, amount, "must be a valid resource quantity"));
    }
}

/// A quantity must be more than nothing.
pub fn positive_quantity(errors: &mut Errors, path: &Path, value: &Value) {
    if quantity(value) <= Quantity::ZERO {
        errors.push(Error::invalid(path, value.clone(), POSITIVE));
    }
}

/// What is said of a number that is not above 0.
pub const POSITIVE: &str = "must be greater than zero";

/// A resource's amount must not be negative, and whole unless the resource is divisible.
pub fn resource_value(errors: &mut Errors, path: &Path, resource: &str, value: &Value) {
    let amount = quantity(value);
    if amount < Quantity::ZERO {
        errors.push(Error::invalid(path, value.clone(), NEGATIVE));
    }
    let whole =
        resource.contains('/') && !resource.starts_with("kubernetes.io/") || COUNTED.contains(&resource);
    if whole && amount.milli_value() % 1000 != 0 {
        errors.push(Error::invalid(path, value.clone(), "must be an integer"));
    }
}

const COUNTED: &[&str] = &[
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
