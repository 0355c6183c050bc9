//! What the access reviews share: reading what is asked, checking it, deciding.

use super::{AUTHORIZATION, Asked};
use gantry_api::field::Error;
use gantry_api::formats;
use gantry_api::schema::{Schema, message_for};
use gantry_api::selector::{Labels, field_terms};
use gantry_api::status::Status;
use gantry_auth::{Attributes, User};
use serde_json::{Value, json};

/// Checks a review and answers it for `user`. `of_user` is what is wrong with whom it is about, `of_rest` what is wrong
/// outside its attributes.
pub fn answer(
    mut asked: Asked<'_>,
    user: &User,
    of_user: Option<Error>,
    of_rest: Vec<Error>,
) -> Result<Value, Status> {
    let mut errors = check(&asked.object, of_user);
    errors.extend(of_rest);
    if !errors.is_empty() {
        let kind = asked.object["kind"].as_str().unwrap_or_default();
        if let Some(message) = message_for(AUTHORIZATION, "v1", kind) {
            errors
                .iter_mut()
                .for_each(|error| error.show_by(Schema::Table(message)));
        }
        // Upstream does not say of which kind.
        return Err(Status::invalid(AUTHORIZATION, "", "", &errors));
    }
    let status = decide(&asked, user);
    asked.object["status"] = status;
    Ok(asked.object)
}

/// The user that a review's spec describes.
pub fn subject(spec: &Value) -> User {
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words.filter_map(|w| w.as_str().map(str::to_owned)).collect()
    };
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text("user"),
        uid: text("uid"),
        groups: words(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), words(values))).collect(),
    }
}

/// A review of someone must say of whom.
pub fn check_subject(spec: &Value) -> Option<Error> {
    let user = subject(spec);
    (user.name.is_empty() && user.groups.is_empty())
        .then(|| Error::invalid("spec.user", "", "at least one of user or group must be specified"))
}

/// A review is not an object: it has no metadata but, where it lives in one, its namespace.
pub fn check_metadata(object: &Value, namespaced: bool) -> Option<Error> {
    let filled = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    let metadata = object["metadata"].as_object()?;
    let why = if namespaced {
        "must be empty except for namespace"
    } else {
        "must be empty"
    };
    metadata
        .iter()
        .any(|(field, value)| {
            field != "managedFields" && !(namespaced && field == "namespace") && filled(value)
        })
        .then(|| Error::invalid("metadata", object["metadata"].clone(), why))
}

fn check(object: &Value, of_user: Option<Error>) -> Vec<Error> {
    let spec = &object["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut errors = Vec::new();
    match (resource.is_object(), path.is_object()) {
        (true, true) => errors.push(Error::invalid(
            "spec.nonResourceAttributes",
            path.clone(),
            "cannot be specified in combination with resourceAttributes",
        )),
        (false, false) => errors.push(Error::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )),
        _ => {}
    }
    errors.extend(of_user);
    for name in ["fieldSelector", "labelSelector"] {
        let selector = &resource[name];
        if !selector.is_object() {
            continue;
        }
        let at = format!("spec.resourceAttributes.{name}");
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let listed = selector["requirements"].as_array().is_some_and(|r| !r.is_empty());
        if !raw.is_empty() && listed {
            let why = "may not specified at the same time as requirements";
            errors.push(Error::invalid(format!("{at}.rawSelector"), raw, why));
        }
        if raw.is_empty() && !listed {
            let why = format!("when {at} is specified, requirements or rawSelector is required");
            errors.push(Error::required(format!("{at}.requirements"), why));
        }
        for (n, requirement) in list(&selector["requirements"]).iter().enumerate() {
            let at = format!("{at}.requirements[{n}]");
            check_requirement(&mut errors, &at, requirement, name == "labelSelector");
        }
    }
    errors
}

/// Operators that are unknown may be a newer client's.
fn check_requirement(errors: &mut Vec<Error>, at: &str, requirement: &Value, label: bool) {
    let key = requirement["key"].as_str().unwrap_or_default();
    let values = list(&requirement["values"]);
    if !label && key.is_empty() {
        errors.push(Error::required(format!("{at}.key"), "must be specified"));
    }
    match requirement["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(format!("{at}.values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(format!("{at}.values"), why));
        }
        _ => {}
    }
    if !label {
        return;
    }
    for problem in formats::qualified_name(key) {
        errors.push(Error::invalid(format!("{at}.key"), key, problem));
    }
    for (n, value) in values.iter().enumerate() {
        for problem in formats::label_value(value.as_str().unwrap_or_default()) {
            errors.push(Error::invalid(
                format!("{at}.values[{n}]"),
                value.clone(),
                problem,
            ));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn decide(asked: &Asked<'_>, user: &User) -> Value {
    let spec = &asked.object["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let fields = field_selector(&resource["fieldSelector"]);
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    let attributes = match resource.is_object() {
        true => Attributes {
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            field_selector: &fields.text,
            ..Attributes::of(user, text("verb"))
        },
        false => Attributes {
            path: Some(path["path"].as_str().unwrap_or_default()),
            ..Attributes::of(user, path["verb"].as_str().unwrap_or_default())
        },
    };
    let decision = asked.api.authorizer.decide(&attributes);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    let ignored = [
        ("fieldSelector", fields.ignored),
        ("labelSelector", ignored_of_labels(&resource["labelSelector"])),
    ];
    let ignored = ignored
        .iter()
        .filter_map(|(name, ignored)| ignored.map(|how| format!("spec.resourceAttributes.{name} {how}")));
    let ignored: Vec<String> = ignored.collect();
    if !ignored.is_empty() {
        status["evaluationError"] = ignored.join("; ").into();
    }
    status
}

/// What of a selector was not understood, and narrows nothing.
fn ignored(understood: usize, all: usize) -> Option<&'static str> {
    match (understood, all) {
        (understood, all) if understood == all => None,
        (0, _) => Some("ignored due to parse error"),
        _ => Some("partially ignored due to parse error"),
    }
}

/// A field selector as authorizers look at it.
struct FieldSelector {
    text: String,
    ignored: Option<&'static str>,
}

/// Requirements that demand no single value narrow nothing that an authorizer looks at.
fn field_selector(selector: &Value) -> FieldSelector {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    if !raw.is_empty() {
        let understood = field_terms(raw).is_ok();
        return FieldSelector {
            text: if understood { raw.to_owned() } else { String::new() },
            ignored: ignored(usize::from(understood), 1),
        };
    }
    let all = list(&selector["requirements"]);
    let terms = all.iter().filter_map(|r| {
        let sign = match r["operator"].as_str()? {
            "In" => "=",
            "NotIn" => "!=",
            _ => return None,
        };
        match list(&r["values"]) {
            [one] => Some(format!("{}{sign}{}", r["key"].as_str()?, one.as_str()?)),
            _ => None,
        }
    });
    let terms: Vec<String> = terms.collect();
    FieldSelector {
        ignored: ignored(terms.len(), all.len()),
        text: terms.join(","),
    }
}

/// What of a label selector no one understands. No authorizer looks at labels.
fn ignored_of_labels(selector: &Value) -> Option<&'static str> {
    let raw = selector["rawSelector"].as_str().unwrap_or_default();
    if !raw.is_empty() {
        return ignored(usize::from(Labels::parse(raw).is_ok()), 1);
    }
    let all = list(&selector["requirements"]);
    let known = |r: &&Value| {
        matches!(
            r["operator"].as_str(),
            Some("In" | "NotIn" | "Exists" | "DoesNotExist")
        )
    };
    ignored(all.iter().filter(known).count(), all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_must_be_clear() {
        let check = |spec: Value, fields: &[&str]| {
            let found: Vec<String> = check(&json!({"spec": spec}), None)
                .into_iter()
                .map(|e| e.field)
                .collect();
            assert_eq!(found, fields, "{spec}");
        };
        check(json!({"resourceAttributes": {"verb": "get"}}), &[]);
        check(json!({"nonResourceAttributes": {"verb": "get"}}), &[]);
        check(json!({}), &["spec.resourceAttributes"]);
        check(
            json!({"resourceAttributes": {}, "nonResourceAttributes": {}}),
            &["spec.nonResourceAttributes"],
        );
        let selector = json!({"resourceAttributes": {"fieldSelector": {}}});
        check(selector, &["spec.resourceAttributes.fieldSelector.requirements"]);
        let of = |name: &str, requirement: Value| json!({"resourceAttributes": {name: {"requirements": [requirement]}}});
        let at = "spec.resourceAttributes.labelSelector.requirements[0]";
        let wrong = json!({"key": "a b", "operator": "In", "values": ["c d"]});
        check(
            of("labelSelector", wrong),
            &[&format!("{at}.key"), &format!("{at}.values[0]")],
        );
        check(of("labelSelector", json!({"key": "a", "operator": "New"})), &[]);
        let at = "spec.resourceAttributes.fieldSelector.requirements[0]";
        check(
            of("fieldSelector", json!({"operator": "In"})),
            &[&format!("{at}.key"), &format!("{at}.values")],
        );
    }

    #[test]
    fn metadata_must_be_empty() {
        let check = |metadata: Value, namespaced: bool, good: bool| {
            let object = json!({"metadata": metadata});
            assert_eq!(check_metadata(&object, namespaced).is_none(), good, "{object}");
        };
        check(json!({}), false, true);
        check(
            json!({"creationTimestamp": null, "managedFields": [{}]}),
            false,
            true,
        );
        check(json!({"namespace": "a"}), true, true);
        check(json!({"namespace": "a"}), false, false);
        check(json!({"name": "a"}), true, false);
    }

    #[test]
    fn selectors_as_authorizers_see_them() {
        const IGNORED: Option<&str> = Some("ignored due to parse error");
        const PARTIALLY: Option<&str> = Some("partially ignored due to parse error");
        let check = |selector: Value, text: &str, of_fields: Option<&str>, of_labels: Option<&str>| {
            let fields = field_selector(&selector);
            assert_eq!((&*fields.text, fields.ignored), (text, of_fields), "{selector}");
            assert_eq!(ignored_of_labels(&selector), of_labels, "{selector}");
        };
        check(json!({"rawSelector": "a=b"}), "a=b", None, None);
        check(json!({"rawSelector": "a in ("}), "", IGNORED, IGNORED);
        let of = |requirements: &[(&str, &str)]| {
            let requirement =
                |(key, operator): &(&str, &str)| json!({"key": key, "operator": operator, "values": ["b"]});
            json!({"requirements": requirements.iter().map(requirement).collect::<Vec<_>>()})
        };
        check(of(&[("a", "In"), ("c", "NotIn")]), "a=b,c!=b", None, None);
        check(of(&[("a", "In"), ("c", "Exists")]), "a=b", PARTIALLY, None);
        check(of(&[("a", "New")]), "", IGNORED, IGNORED);
        check(Value::Null, "", None, None);
    }
}
