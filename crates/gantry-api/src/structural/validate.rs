//! Values against their schema, with upstream's errors. An error about a value that an update leaves as it was is none.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/validate and k8s.io/apiextensions-apiserver/pkg/apiserver/validation.

use super::{Additional, Checks, Structural, format, is_meta};
use crate::apply::validate::go_float;
use crate::field::{Error, ErrorKind};
use serde_json::Value;
use std::fmt::Display;

/// Checks a value. `under` is the path of the value itself, which texts leave out; `old` is what an update replaces.
pub fn validate(schema: &Structural, value: &Value, old: Option<&Value>, under: &str) -> Vec<Error> {
    from(schema, value, under, old, false)
}

/// Checks the value that a default gives. As upstream: of an integer or text it may be anything.
pub fn validate_default(schema: &Structural, value: &Value, under: &str) -> Vec<Error> {
    from(schema, value, under, None, true)
}

fn from(
    schema: &Structural,
    value: &Value,
    under: &str,
    old: Option<&Value>,
    is_default: bool,
) -> Vec<Error> {
    let at = At {
        path: String::new(),
        old,
        like: Some(schema),
        is_default,
    };
    let mut found = node(schema, value, &at).errors;
    for error in &mut found {
        error.field = match (under, error.field.as_str()) {
            // What is said of a whole value names no field, and Go prints a path that is not there so.
            ("", "") => "<nil>".into(),
            (under, "") => under.into(),
            ("", field) => field.into(),
            (under, field) => format!("{under}.{field}"),
        };
    }
    found
}

/// What was found, and how many checks were made: of several schemas, the errors of the closest one are told.
#[derive(Default)]
struct Found {
    errors: Vec<Error>,
    checks: usize,
}

impl Found {
    fn merge(&mut self, other: Found) {
        self.errors.extend(other.errors);
        self.checks += other.checks;
    }

    fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Where a value is: its path, and what stood there before, as far as that can be told.
struct At<'a> {
    path: String,
    old: Option<&'a Value>,
    /// The schema by which old items are found.
    like: Option<&'a Structural>,
    is_default: bool,
}

impl<'a> At<'a> {
    fn field(&self, name: &str, declared: bool) -> At<'a> {
        let divided = self.like.is_none_or(|s| !s.atomic);
        let meta = self.path.is_empty() && is_meta(name);
        At {
            path: match self.path.as_str() {
                "" if declared => name.to_string(),
                path => format!("{path}.{name}"),
            },
            old: self.old.filter(|_| divided && !meta).and_then(|o| o.get(name)),
            like: self.like.and_then(|s| s.child(name)),
            is_default: self.is_default,
        }
    }

    fn item(&self, index: usize, item: &Value) -> At<'a> {
        let keyed = self.like.filter(|s| s.list_type == "map");
        let same = |schema: &Structural, other: &Value| {
            schema
                .list_map_keys
                .iter()
                .all(|key| other.get(key.as_str()) == item.get(key.as_str()))
        };
        let old = keyed.and_then(|s| self.old?.as_array()?.iter().find(|o| same(s, o)));
        At {
            path: format!("{}[{index}]", self.path),
            old,
            like: self.like.and_then(|s| s.items.as_deref()),
            is_default: self.is_default,
        }
    }

    /// An error whose text is about the value by its path.
    fn error(&self, kind: ErrorKind, value: impl Into<Value>, what: impl Display) -> Error {
        let path = &self.path;
        Error::new(kind, self.name(), value.into(), format!("{path} in body {what}"))
    }

    fn invalid(&self, value: impl Into<Value>, what: impl Display) -> Error {
        self.error(ErrorKind::Invalid, value, what)
    }

    /// An error whose text is all there is: upstream loses the path of these.
    fn remark(text: String) -> Error {
        Error::invalid("", "", text)
    }

    fn name(&self) -> String {
        self.path.trim_start_matches('.').to_string()
    }
}

/// A value at a place of its own, where what stood before may excuse it.
fn node(schema: &Structural, value: &Value, at: &At) -> Found {
    let mut found = plain(schema, value, at);
    if !found.is_valid() && at.old == Some(value) {
        found.errors.clear();
    }
    found
}

fn plain(schema: &Structural, value: &Value, at: &At) -> Found {
    let checks = &schema.checks;
    let mut found = Found::default();
    if value.is_null() {
        if !schema.nullable && !types(schema, at).is_empty() {
            found.errors.push(wrong_type(schema, "null", at));
        } else {
            found.checks += 1;
        }
        one_of_values(checks, value, at, &mut found);
        return found;
    }
    if !types(schema, at).is_empty() || !checks.format.is_empty() {
        match type_error(schema, value, at) {
            Some(error) => found.errors.push(error),
            None => found.checks += 1,
        }
        found.checks += 1;
    }
    several(checks, value, at, &mut found);
    found.checks += 1;
    match value {
        Value::String(text) => string(checks, text, at, &mut found),
        Value::Number(number) => self::number(schema, number, at, &mut found),
        Value::Array(items) => list(schema, items, at, &mut found),
        _ => {}
    }
    one_of_values(checks, value, at, &mut found);
    found.checks += 1;
    if let Value::Object(map) = value {
        object(schema, map, at, &mut found);
        found.checks += 1;
    }
    found.checks += 1;
    found
}

fn types<'a>(schema: &'a Structural, at: &At) -> Vec<&'a str> {
    match schema.type_.as_str() {
        _ if schema.int_or_string && at.is_default => Vec::new(),
        _ if schema.int_or_string => vec!["integer", "string"],
        "" => Vec::new(),
        one => vec![one],
    }
}

fn wrong_type(schema: &Structural, found: &str, at: &At) -> Error {
    of_type(&types(schema, at).join(","), found, at)
}

fn of_type(wanted: &str, found: &str, at: &At) -> Error {
    at.error(
        ErrorKind::TypeInvalid,
        found,
        format_args!("must be of type {wanted}: {found:?}"),
    )
}

fn type_error(schema: &Structural, value: &Value, at: &At) -> Option<Error> {
    let (types, format) = (types(schema, at), schema.checks.format.as_str());
    let has = |name: &str| types.contains(&name);
    let (type_, own_format) = match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
        // As in Go, what no 64-bit integer holds is a float.
        Value::Number(n) if n.as_i64().is_none() => ("number", "float64"),
        Value::Number(_) => ("integer", "int64"),
    };
    // Beyond this a float does not tell one integer from the next.
    const EXACT: f64 = ((1i64 << 53) - 1) as f64;
    let whole = value
        .as_f64()
        .is_some_and(|f| value.is_f64() && f.fract() == 0.0 && f.abs() <= EXACT);
    let fits = has(type_) || (whole && has("integer")) || (type_ == "integer" && has("number"));
    let texts = matches!(type_, "string" | "array");
    if !texts && !format.is_empty() && !fits && own_format != format {
        return Some(of_type(format, own_format, at));
    }
    if texts && !format.is_empty() && !has("number") && !has("integer") {
        return None;
    }
    (!fits).then(|| wrong_type(schema, type_, at))
}

fn one_of_values(checks: &Checks, value: &Value, at: &At, found: &mut Found) {
    let same = |v: &Value| match (v.as_f64(), value.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => v == value,
    };
    if checks.values.is_empty() || checks.values.iter().any(same) {
        return;
    }
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let values: Vec<String> = checks.values.iter().map(text).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    found
        .errors
        .push(Error::not_supported(at.name(), value.clone(), &values));
}

fn string(checks: &Checks, text: &str, at: &At, found: &mut Found) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    // Only the first of these is told.
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        found
            .errors
            .push(Error::too_long(at.name(), usize::try_from(max).unwrap_or(0)));
    } else if let Some(min) = checks.min_length.filter(|min| length < *min) {
        found
            .errors
            .push(at.invalid(text, format_args!("should be at least {min} chars long")));
    } else if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.matches(text)) {
        found
            .errors
            .push(at.invalid(text, format_args!("should match '{}'", pattern.text())));
    }
    found.checks += 1;
    if !checks.format.is_empty() {
        if !format::is(&checks.format, text) {
            found.errors.push(of_type(&checks.format, text, at));
        }
        found.checks += 1;
    }
}

fn number(schema: &Structural, number: &serde_json::Number, at: &At, found: &mut Found) {
    let checks = &schema.checks;
    let value = Value::Number(number.clone());
    let (exact, float) = (number.as_i64(), number.as_f64().unwrap_or(f64::NAN));
    if exact.is_none() || checks.format == "int32" {
        found.errors.extend(out_of_type(schema, float, "Checked", at));
    }
    // A limit that is no value of the type is told of, and compared with as a float.
    let mut limit = |limit: f64, name: &str, wrong: &dyn Fn(Option<i64>) -> Option<Error>| {
        let misfit = out_of_type(schema, limit, name, at);
        let exact = exact.filter(|_| misfit.is_none());
        found.errors.extend(misfit);
        found.errors.extend(wrong(exact));
    };
    if let Some(factor) = checks.multiple_of {
        limit(factor, "MultipleOf", &|exact| {
            not_multiple(factor, &value, exact, at)
        });
    }
    if let Some(min) = checks.minimum {
        limit(min, "Minimum boundary", &|exact| {
            let low = float < min || (checks.exclusive_minimum && float <= min);
            let word = match checks.exclusive_minimum {
                true => "greater than",
                false => "greater than or equal to",
            };
            let text = format!("should be {word} {}", go(min, exact));
            low.then(|| at.invalid(value.clone(), text))
        });
    }
    if let Some(max) = checks.maximum {
        limit(max, "Maximum boundary", &|exact| {
            let high = float > max || (checks.exclusive_maximum && float >= max);
            let word = match checks.exclusive_maximum {
                true => "less than",
                false => "less than or equal to",
            };
            let text = format!("should be {word} {}", go(max, exact));
            high.then(|| at.invalid(value.clone(), text))
        });
    }
    found.checks += 2;
}

/// What is said of a number that the schema's type cannot hold.
fn out_of_type(schema: &Structural, number: f64, name: &str, at: &At) -> Option<Error> {
    const I64: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    if schema.type_ != "integer" {
        return None;
    }
    let whole = number.fract() == 0.0 && I64.contains(&number);
    let (format, fits) = match schema.checks.format.as_str() {
        "" => ("(default format)".to_string(), whole),
        "int32" => (
            "with format int32".to_string(),
            whole && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number),
        ),
        format => (format!("with format {format}"), whole),
    };
    let path = &at.path;
    (!fits).then(|| At::remark(format!("{name} value must be of type integer {format} in {path}")))
}

fn not_multiple(factor: f64, value: &Value, exact: Option<i64>, at: &At) -> Option<Error> {
    let float = value.as_f64().unwrap_or(f64::NAN);
    // An integer is measured by the whole part of what it must be a multiple of.
    let (positive, fits) = match exact {
        Some(n) => (factor >= 1.0, n.checked_rem(factor as i64) == Some(0)),
        None if factor < 1.0 => (factor > 0.0, is_whole(1.0 / factor * float)),
        None => (true, is_whole(float / factor)),
    };
    let (shown, path) = (go(factor, exact), &at.path);
    if !positive {
        let text = format!("factor MultipleOf declared for {path} must be positive: {shown}");
        let factor: Value = exact.map_or(factor.into(), |_| (factor as i64).into());
        return Some(Error::invalid(at.name(), factor, text));
    }
    (!fits).then(|| at.invalid(value.clone(), format_args!("should be a multiple of {shown}")))
}

fn is_whole(number: f64) -> bool {
    (number - number.round()).abs() < 1e-9 * number.abs().max(1.0)
}

/// A limit as Go prints it: that of an integer is one.
fn go(limit: f64, exact: Option<i64>) -> String {
    match exact {
        Some(_) => (limit as i64).to_string(),
        None => go_float(limit),
    }
}

fn list(schema: &Structural, items: &[Value], at: &At, found: &mut Found) {
    let checks = &schema.checks;
    if let Some(schema) = &schema.items {
        for (i, item) in items.iter().enumerate() {
            found.merge(node(schema, item, &at.item(i, item)));
        }
    }
    let count = items.len();
    if let Some(min) = checks.min_items.filter(|min| (count as i64) < *min) {
        found
            .errors
            .push(at.invalid(count, format_args!("should have at least {min} items")));
    }
    if let Some(max) = checks.max_items.filter(|max| count as i64 > *max) {
        found.errors.push(Error::too_many(
            at.name(),
            count,
            usize::try_from(max).unwrap_or(0),
        ));
    }
    found.checks += 2;
}

fn object(schema: &Structural, map: &serde_json::Map<String, Value>, at: &At, found: &mut Found) {
    let checks = &schema.checks;
    let count = map.len();
    if let Some(min) = checks.min_properties.filter(|min| (count as i64) < *min) {
        found
            .errors
            .push(at.invalid(count, format_args!("should have at least {min} properties")));
    }
    if let Some(max) = checks.max_properties.filter(|max| count as i64 > *max) {
        found.errors.push(Error::too_many(
            at.name(),
            count,
            usize::try_from(max).unwrap_or(0),
        ));
    }
    for (key, value) in map {
        match (schema.properties.get(key.as_str()), &schema.additional) {
            (Some(field), _) => found.merge(node(field, value, &at.field(key, true))),
            (None, Additional::Like(field)) => found.merge(node(field, value, &at.field(key, false))),
            (None, Additional::Forbidden) => {
                let text = format!("{}.{key} in body is a forbidden property", at.path);
                found.errors.push(Error::invalid(at.name(), key.as_str(), text));
            }
            _ => {}
        }
    }
    for name in checks.required.iter().filter(|n| !map.contains_key(n.as_str())) {
        let field = format!("{}.{name}", at.path);
        found
            .errors
            .push(Error::required(field.trim_start_matches('.'), ""));
    }
}

/// Schemas of which all, some, one or none must hold.
fn several(checks: &Checks, value: &Value, at: &At, found: &mut Found) {
    let of = |schema: &Structural| plain(schema, value, at);
    let path = &at.path;
    if !checks.any_of.is_empty() {
        let all = checks.any_of.iter().map(of);
        let (mut best, mut good) = (None::<Found>, None);
        for result in all {
            if result.is_valid() {
                good = Some(result);
                break;
            }
            if best.as_ref().is_none_or(|b| result.checks > b.checks) {
                best = Some(result);
            }
        }
        match good {
            Some(good) => found.merge(good),
            None => {
                let text = format!("{path:?} must validate at least one schema (anyOf)");
                found.errors.push(At::remark(text));
                best.into_iter().for_each(|best| found.merge(best));
            }
        }
    }
    if !checks.one_of.is_empty() {
        let (mut best, mut good, mut count) = (None::<Found>, None, 0);
        for result in checks.one_of.iter().map(of) {
            if result.is_valid() {
                count += 1;
                best = None;
                good.get_or_insert(result);
            } else if count == 0 && best.as_ref().is_none_or(|b| result.checks > b.checks) {
                best = Some(result);
            }
        }
        if count == 1 {
            good.into_iter().for_each(|good| found.merge(good));
        } else {
            let how = match count {
                0 => "Found none valid".to_string(),
                n => format!("Found {n} valid alternatives"),
            };
            let text = format!("{path:?} must validate one and only one schema (oneOf). {how}");
            found.errors.push(At::remark(text));
            best.into_iter().for_each(|best| found.merge(best));
        }
    }
    if !checks.all_of.is_empty() {
        let results: Vec<Found> = checks.all_of.iter().map(of).collect();
        let good = results.iter().filter(|r| r.is_valid()).count();
        let all = results.len();
        results.into_iter().for_each(|r| found.merge(r));
        if good != all {
            let how = if good == 0 { ". None validated" } else { "" };
            let text = format!("{path:?} must validate all the schemas (allOf){how}");
            found.errors.push(At::remark(text));
        }
    }
    if checks.not.as_deref().is_some_and(|not| of(not).is_valid()) {
        let text = format!("{path:?} must not validate the schema (not)");
        found.errors.push(At::remark(text));
    }
    found.checks += 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(field: Value, value: Value, old: Option<Value>) -> Vec<String> {
        let schema = Structural::root(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"x": field}},
        }}));
        let of = |value: Value| json!({"spec": {"x": value}});
        let (value, old) = (of(value), old.map(of));
        validate(&schema, &value, old.as_ref(), "")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn values() {
        let check = |field: Value, value: Value, expected: &[&str]| {
            assert_eq!(
                errors(field.clone(), value.clone(), None),
                expected,
                "{field} {value}"
            );
        };
        let int = json!({"type": "integer"});
        check(int.clone(), json!(3), &[]);
        check(int.clone(), json!(3.0), &[]);
        check(
            int.clone(),
            json!("a"),
            &[r#"spec.x: Invalid value: "string": spec.x in body must be of type integer: "string""#],
        );
        check(
            int,
            json!(null),
            &[r#"spec.x: Invalid value: "null": spec.x in body must be of type integer: "null""#],
        );
        check(json!({"type": "integer", "nullable": true}), json!(null), &[]);
        check(json!({"x-kubernetes-int-or-string": true}), json!("50%"), &[]);
        check(
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            &[
                r#"spec.x: Invalid value: "boolean": spec.x in body must be of type integer,string: "boolean""#,
            ],
        );
        let range = json!({"type": "integer", "minimum": 1, "maximum": 10});
        check(
            range.clone(),
            json!(0),
            &["spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1"],
        );
        check(
            range,
            json!(11),
            &["spec.x: Invalid value: 11: spec.x in body should be less than or equal to 10"],
        );
        let half = json!({"type": "number", "minimum": 0.5, "exclusiveMinimum": true, "multipleOf": 0.25});
        check(half.clone(), json!(0.75), &[]);
        check(
            half.clone(),
            json!(0.5),
            &["spec.x: Invalid value: 0.5: spec.x in body should be greater than 0.5"],
        );
        check(
            half,
            json!(0.6),
            &["spec.x: Invalid value: 0.6: spec.x in body should be a multiple of 0.25"],
        );
        check(
            json!({"type": "integer", "format": "int32"}),
            json!(1i64 << 40),
            &[
                "<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in spec.x",
            ],
        );
        check(
            json!({"type": "integer", "format": "int64"}),
            json!(1u64 << 63),
            &[
                r#"spec.x: Invalid value: "float64": spec.x in body must be of type int64: "float64""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer with format int64 in spec.x"#,
            ],
        );
        let small = json!({"type": "number", "multipleOf": 0.5});
        check(small.clone(), json!(1.5), &[]);
        check(
            small,
            json!(3),
            &["spec.x: Invalid value: 0: factor MultipleOf declared for spec.x must be positive: 0"],
        );
        check(
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            &[r#"spec.x: Unsupported value: "c": supported values: "a", "b""#],
        );
        let text = json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"});
        check(
            text.clone(),
            json!("a"),
            &[r#"spec.x: Invalid value: "a": spec.x in body should be at least 2 chars long"#],
        );
        check(
            text.clone(),
            json!("aaaa"),
            &["spec.x: Too long: may not be more than 3 bytes"],
        );
        check(
            text,
            json!("bb"),
            &[r#"spec.x: Invalid value: "bb": spec.x in body should match '^a'"#],
        );
        check(
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            &[r#"spec.x: Invalid value: "now": spec.x in body must be of type date-time: "now""#],
        );
        check(json!({"type": "string", "format": "own"}), json!("now"), &[]);
        let list = json!({"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}});
        check(
            list.clone(),
            json!(["a"]),
            &["spec.x: Invalid value: 1: spec.x in body should have at least 2 items"],
        );
        check(
            list,
            json!(["a", 1, "c"]),
            &[
                r#"spec.x[1]: Invalid value: "integer": spec.x[1] in body must be of type string: "integer""#,
                "spec.x: Too many: 3: must have at most 2 items",
            ],
        );
        let object =
            json!({"type": "object", "required": ["a"], "properties": {"a": {}}, "maxProperties": 1});
        check(object.clone(), json!({}), &["spec.x.a: Required value"]);
        check(
            object,
            json!({"a": 1, "b": 2}),
            &["spec.x: Too many: 2: must have at most 1 item"],
        );
        check(
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"k": "v"}),
            &[r#"spec.x.k: Invalid value: "string": spec.x.k in body must be of type integer: "string""#],
        );
    }

    #[test]
    fn defaults_may_be_anything_where_integers_and_texts_may() {
        let schema = Structural::of(&json!({"x-kubernetes-int-or-string": true}));
        let check = |value: Value, expected: usize| {
            assert_eq!(validate_default(&schema, &value, "d").len(), 0, "{value}");
            assert_eq!(validate(&schema, &value, None, "d").len(), expected, "{value}");
        };
        check(json!(1), 0);
        check(json!({}), 1);
    }

    #[test]
    fn several_schemas() {
        let check = |rule: &str, schemas: Value, value: Value, expected: &[&str]| {
            let field = json!({"type": "integer", rule: schemas});
            assert_eq!(errors(field, value.clone(), None), expected, "{rule} {value}");
        };
        let low = json!({"maximum": 1});
        let high = json!({"minimum": 5});
        check("anyOf", json!([low, high]), json!(5), &[]);
        check(
            "anyOf",
            json!([low, high]),
            json!(3),
            &[
                r#"<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)"#,
                "spec.x: Invalid value: 3: spec.x in body should be less than or equal to 1",
            ],
        );
        check(
            "oneOf",
            json!([high, {"minimum": 6}]),
            json!(7),
            &[
                r#"<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
            ],
        );
        check("oneOf", json!([low, high]), json!(1), &[]);
        check(
            "allOf",
            json!([{"minimum": 1}, high]),
            json!(3),
            &[
                "spec.x: Invalid value: 3: spec.x in body should be greater than or equal to 5",
                r#"<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf)"#,
            ],
        );
        check(
            "not",
            low,
            json!(0),
            &[r#"<nil>: Invalid value: "": "spec.x" must not validate the schema (not)"#],
        );
    }

    #[test]
    fn what_an_update_leaves_is_excused() {
        let check = |field: Value, value: Value, old: Value, count: usize| {
            assert_eq!(errors(field, value.clone(), Some(old)).len(), count, "{value}");
        };
        let small = json!({"type": "integer", "maximum": 1});
        check(small.clone(), json!(5), json!(5), 0);
        check(small.clone(), json!(6), json!(5), 1);
        let item = json!({"type": "object", "properties": {"n": {"type": "string"}, "v": small}});
        let mut list = json!({"type": "array", "items": item});
        let (new, old) = (
            json!([{"n": "b", "v": 1}, {"n": "a", "v": 5}]),
            json!([{"n": "a", "v": 5}]),
        );
        check(list.clone(), new.clone(), old.clone(), 1);
        list["x-kubernetes-list-type"] = "map".into();
        list["x-kubernetes-list-map-keys"] = json!(["n"]);
        check(list, new, old, 0);
    }
}
