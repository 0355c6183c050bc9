//! Numbers against their limits. Source: k8s.io/kube-openapi/pkg/validation/validate/values.go.

use super::{At, Found, Structural};
use crate::apply::validate::go_float;
use crate::field::Error;
use serde_json::Value;

/// Checks a number against its type and limits.
pub fn check(schema: &Structural, number: &serde_json::Number, at: &At, found: &mut Found) {
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
