//! Rules that the kinds of resource.k8s.io share. Source: pkg/apis/resource/validation.

use super::checks::{Errors, format};
use super::core::pod::csi_driver_name as driver_name;
use super::expressions::device_selector;
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::values::{given, list, repeats, text};
use serde_json::Value;

/// How many requests, constraints and configurations a claim may have, and how many devices an allocation.
pub const MOST_REQUESTS: usize = 32;
const MOST_SELECTORS: usize = 32;
const LONGEST_EXPRESSION: usize = 10 << 10;
const LONGEST_PARAMETERS: usize = 10 << 10;
const LONGEST_DOMAIN: usize = 63;
const LONGEST_ID: usize = 32;
/// How long a key of attributes or capacities may be until errors show it shortened.
pub const LONGEST_KEY: usize = LONGEST_DOMAIN + 1 + LONGEST_ID;
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// Whether a list has as many items as it may.
pub fn fits(errors: &mut Errors, path: &Path, items: &[Value], most: usize) -> bool {
    if items.len() > most {
        errors.push(Error::too_many(path, items.len(), most));
    }
    items.len() <= most
}

/// Each item of a list that is not too long must obey a rule.
pub fn each(
    errors: &mut Errors,
    path: &Path,
    items: &Value,
    most: usize,
    mut rule: impl FnMut(&mut Errors, &Path, &Value),
) {
    let items = list(items);
    if fits(errors, path, items, most) {
        for (i, item) in items.iter().enumerate() {
            rule(errors, &path.index(i), item);
        }
    }
}

/// As [`each`], and no two items may have the same key.
pub fn each_of_set(
    errors: &mut Errors,
    path: &Path,
    items: &Value,
    most: usize,
    key: fn(&Value) -> &str,
    rule: impl FnMut(&mut Errors, &Path, &Value),
) {
    each(errors, path, items, most, rule);
    let items = list(items);
    if items.len() <= most {
        let repeated = repeats(items, key);
        for (i, item) in items.iter().enumerate() {
            if repeated[i] {
                errors.push(Error::duplicate(path.index(i), key(item)));
            }
        }
    }
}

/// An item's name.
pub fn name(item: &Value) -> &str {
    text(&item["name"])
}

/// A driver's name.
pub fn driver(errors: &mut Errors, path: &Path, name: &Value) {
    driver_name(errors, path, text(name));
}

/// A pool's name: DNS subdomains with slashes between.
pub fn pool(errors: &mut Errors, path: &Path, name: &Value) {
    const LONGEST: usize = 253;
    let name = text(name);
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if name.len() > LONGEST {
        errors.push(Error::too_long(path, LONGEST));
    }
    for part in name.split('/') {
        format(errors, path, part, formats::dns_subdomain);
    }
}

/// A name such as `model` or `example.com/model`.
pub fn qualified_name(errors: &mut Errors, path: &Path, name: &str) {
    let parts: Vec<&str> = name.split('/').collect();
    let id = match parts[..] {
        [id] => id,
        [domain, id] => {
            match domain {
                "" => errors.push(Error::invalid(path, "", "the domain must not be empty")),
                domain => driver_name(errors, path, domain),
            }
            if id.is_empty() {
                errors.push(Error::invalid(path, "", "the name must not be empty"));
                return;
            }
            id
        }
        // Upstream lets names with more slashes pass.
        _ => return,
    };
    if id.len() > LONGEST_ID {
        errors.push(Error::too_long(path, LONGEST_ID));
    }
    format(errors, path, id, formats::c_identifier);
}

/// A name such as `example.com/model`.
pub fn fully_qualified_name(errors: &mut Errors, path: &Path, name: &str) {
    qualified_name(errors, path, name);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, detail));
    }
}

/// What devices are picked by.
pub fn selectors(errors: &mut Errors, path: &Path, selectors: &Value) {
    each(
        errors,
        path,
        selectors,
        MOST_SELECTORS,
        |errors, path, selector| {
            let (path, cel) = (path.child("cel"), &selector["cel"]);
            if !given(cel) {
                errors.push(Error::required(path, ""));
                return;
            }
            let (path, expression) = (path.child("expression"), text(&cel["expression"]));
            if expression.len() > LONGEST_EXPRESSION {
                errors.push(Error::too_long(path, LONGEST_EXPRESSION));
            } else {
                device_selector(errors, &path, expression);
            }
        },
    );
}

/// Configuration for a driver. Parameters that are stored already may be of any size.
pub fn configuration(errors: &mut Errors, path: &Path, config: &Value, stored: bool) {
    let (path, opaque) = (path.child("opaque"), &config["opaque"]);
    if !given(opaque) {
        errors.push(Error::required(path, ""));
        return;
    }
    driver(errors, &path.child("driver"), &opaque["driver"]);
    let limit = if stored { usize::MAX } else { LONGEST_PARAMETERS };
    raw(errors, &path.child("parameters"), &opaque["parameters"], limit);
}

/// An object that the API does not look into.
pub fn raw(errors: &mut Errors, path: &Path, value: &Value, longest: usize) {
    if !given(value) {
        errors.push(Error::required(path, ""));
    } else if value.to_string().len() > longest {
        errors.push(Error::too_long(path, longest));
    } else if !value.is_object() {
        errors.push(Error::invalid(
            path,
            "<value omitted>",
            "must be a valid JSON object",
        ));
    }
}

/// A device's taint; an effect that stands already is not looked at again.
pub fn taint(errors: &mut Errors, path: &Path, taint: &Value, old: Option<&Value>) {
    format(
        errors,
        &path.child("key"),
        text(&taint["key"]),
        formats::qualified_name,
    );
    format(
        errors,
        &path.child("value"),
        text(&taint["value"]),
        formats::label_value,
    );
    let (at, effect) = (path.child("effect"), text(&taint["effect"]));
    if old.is_some_and(|old| text(&old["effect"]) == effect) {
        return;
    }
    match effect {
        "" => errors.push(Error::required(at, "")),
        effect if EFFECTS.contains(&effect) => {}
        effect => errors.push(Error::not_supported(at, effect, &EFFECTS)),
    }
}

/// What a request bears of devices' taints.
pub fn toleration(errors: &mut Errors, path: &Path, toleration: &Value) {
    let key = text(&toleration["key"]);
    if !key.is_empty() {
        format(errors, &path.child("key"), key, formats::qualified_name);
    }
    let (at, value) = (path.child("value"), text(&toleration["value"]));
    match text(&toleration["operator"]) {
        "Exists" if !value.is_empty() => {
            errors.push(Error::invalid(at, value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => format(errors, &at, value, formats::label_value),
        "" => errors.push(Error::required(path.child("operator"), "")),
        other => errors.push(Error::not_supported(
            path.child("operator"),
            other,
            &["Equal", "Exists"],
        )),
    }
    let effect = text(&toleration["effect"]);
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.push(Error::not_supported(path.child("effect"), effect, &EFFECTS));
    }
}

/// The conditions that a pod waits for before it is bound, and those that end the wait: both or none.
pub fn binding_conditions(errors: &mut Errors, path: &Path, of: &Value) {
    const MOST: usize = 4;
    const WANTED: &str = "bindingConditions";
    const FAILED: &str = "bindingFailureConditions";
    for field in [WANTED, FAILED] {
        each(
            errors,
            &path.child(field),
            &of[field],
            MOST,
            |errors, path, condition| {
                format(errors, path, text(condition), formats::qualified_name);
            },
        );
    }
    let (wanted, failed) = (list(&of[WANTED]), list(&of[FAILED]));
    for (field, all) in [(WANTED, wanted), (FAILED, failed)] {
        let at = path.child(field);
        for (i, condition) in all.iter().enumerate() {
            if all[..i].contains(condition) {
                errors.push(Error::duplicate(at.index(i), condition.clone()));
            }
            if field == FAILED && wanted.contains(condition) {
                let detail = "bindingFailureConditions must not overlap with bindingConditions";
                errors.push(Error::invalid(at.index(i), condition.clone(), detail));
            }
        }
    }
    if wanted.is_empty() && !failed.is_empty() {
        let detail = "bindingConditions are required to use bindingFailureConditions";
        errors.push(Error::invalid(path.child(WANTED), of[WANTED].clone(), detail));
    }
    if failed.is_empty() && !wanted.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        errors.push(Error::invalid(path.child(FAILED), of[FAILED].clone(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        let check = |rule: fn(&mut Errors, &Path, &str), name: &str, wrong: usize| {
            let mut errors = Vec::new();
            rule(&mut errors, &Path::new("name"), name);
            assert_eq!(errors.len(), wrong, "{name}: {errors:?}");
        };
        let long = "a".repeat(33);
        check(qualified_name, "model", 0);
        check(qualified_name, "example.com/model", 0);
        check(qualified_name, "a/b/c", 0);
        check(qualified_name, "", 1);
        check(qualified_name, "/", 2);
        check(qualified_name, "not-c", 1);
        check(qualified_name, &format!("x.y/{long}"), 1);
        check(fully_qualified_name, "model", 1);
        let pool = |errors: &mut Errors, path: &Path, name: &str| super::pool(errors, path, &name.into());
        check(pool, "a/b.c", 0);
        check(pool, "", 1);
        check(pool, "a//b", 1);
    }

    #[test]
    fn rules() {
        let check = |rule: fn(&mut Errors, &Path, &Value), value: Value, expected: &[&str]| {
            let mut errors = Vec::new();
            rule(&mut errors, &Path::new("it"), &value);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(toleration, json!({"operator": "Exists", "effect": "None"}), &[]);
        check(
            toleration,
            json!({"key": "k", "operator": "Exists", "value": "v", "effect": "Never"}),
            &[
                "it.value: Invalid value: \"v\": must be empty for operator `Exists`",
                "it.effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            ],
        );
        check(toleration, json!({}), &["it.operator: Required value"]);
        let new_taint: fn(&mut Errors, &Path, &Value) =
            |errors, path, value| taint(errors, path, value, None);
        check(new_taint, json!({"key": "k"}), &["it.effect: Required value"]);
        check(
            binding_conditions,
            json!({"bindingConditions": ["a"], "bindingFailureConditions": ["b"]}),
            &[],
        );
        check(
            binding_conditions,
            json!({"bindingConditions": ["a"], "bindingFailureConditions": ["a"]}),
            &[
                "it.bindingFailureConditions[0]: Invalid value: \"a\": bindingFailureConditions must not overlap with \
               bindingConditions",
            ],
        );
        let new: fn(&mut Errors, &Path, &Value) =
            |errors, path, value| configuration(errors, path, value, false);
        check(new, json!({}), &["it.opaque: Required value"]);
        check(
            new,
            json!({"opaque": {"driver": "d", "parameters": 1}}),
            &["it.opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object"],
        );
        check(selectors, json!([{}]), &["it[0].cel: Required value"]);
    }
}
