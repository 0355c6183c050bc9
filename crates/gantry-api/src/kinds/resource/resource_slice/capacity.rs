//! How much of something a device has, and in which parts claims may share it.

use crate::field::{Error, Path};
use crate::kinds::checks::{Errors, quantity};
use crate::kinds::devices::fits;
use crate::kinds::values::{given, list, size};
use crate::quantity::Quantity;
use serde_json::Value;

const MOST_OPTIONS: usize = 10;

/// The rules for a capacity; only devices that are `shared` say what may be asked for.
pub fn validate(errors: &mut Errors, path: &Path, capacity: &Value, shared: bool) {
    let (path, policy) = (path.child("requestPolicy"), &capacity["requestPolicy"]);
    if !given(policy) {
        return;
    }
    if !shared {
        errors.push(Error::forbidden(path, "allowMultipleAllocations must be true"));
        return;
    }
    let (options, range) = (size(&policy["validValues"]) > 0, given(&policy["validRange"]));
    let (most, usual) = (quantity(&capacity["value"]), &policy["default"]);
    let field = match (options, range) {
        (true, true) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                          same time";
            errors.push(Error::forbidden(path, detail));
            return;
        }
        (true, false) => "validValues",
        (false, true) => "validRange",
        (false, false) => return,
    };
    if !given(usual) {
        let detail = format!("required when {field} is defined");
        errors.push(Error::required(path.child("default"), detail));
        return;
    }
    match field {
        "validValues" => values(errors, &path.child(field), list(&policy[field]), quantity(usual), most),
        _ => self::range(errors, &path.child(field), &policy[field], quantity(usual), most),
    }
}

fn values(errors: &mut Errors, path: &Path, options: &[Value], usual: Quantity, most: Quantity) {
    let amounts: Vec<Quantity> = options.iter().map(quantity).collect();
    for i in 1..amounts.len() {
        if amounts[i - 1] > amounts[i] {
            let detail = "values must be sorted in ascending order";
            errors.push(Error::invalid(path.index(i), amounts[i].to_string(), detail));
        }
    }
    let few = fits(errors, path, options, MOST_OPTIONS);
    if few {
        for (i, amount) in amounts.iter().enumerate().filter(|(_, amount)| **amount > most) {
            let detail = format!("option is larger than capacity value: {most}");
            errors.push(Error::invalid(path.index(i), amount.to_string(), detail));
        }
        for i in 1..amounts.len() {
            if amounts[..i].iter().any(|amount| amount.value() == amounts[i].value()) {
                errors.push(Error::duplicate(path.index(i), amounts[i].value().to_string()));
            }
        }
    }
    if !few || !amounts.contains(&usual) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, usual.to_string(), detail));
    }
}

fn range(errors: &mut Errors, path: &Path, range: &Value, usual: Quantity, whole: Quantity) {
    let (at, at_most) = (path.child("min"), path.child("max"));
    if !given(&range["min"]) {
        errors.push(Error::required(at, "required when validRange is defined"));
        return;
    }
    let least = quantity(&range["min"]);
    let most = given(&range["max"]).then(|| quantity(&range["max"]));
    let mut wrong = |is: bool, at: &Path, value: Quantity, detail: String| {
        if is {
            errors.push(Error::invalid(at, value.to_string(), detail));
        }
    };
    wrong(least > whole, &at, least, format!("min is larger than capacity value: {whole}"));
    wrong(usual < least, &at, usual, format!("default is less than min: {least}"));
    if let Some(most) = most {
        wrong(least > most, &at_most, least, format!("min is larger than max: {most}"));
        wrong(most > whole, &at_most, most, format!("max is larger than capacity value: {whole}"));
        wrong(usual > most, &at_most, usual, format!("default is more than max: {most}"));
    }
    if given(&range["step"]) {
        let (at, step) = (path.child("step"), quantity(&range["step"]));
        let first = least + step;
        let detail = format!("one step {first} is larger than capacity value: {whole}");
        wrong(first > whole, &at, step, detail);
        for value in std::iter::once(usual).chain(most) {
            let apart = i128::from(value.value()) - i128::from(least.value());
            // Nothing is a whole number of steps of nothing.
            let off = apart.checked_rem(step.value().into()) != Some(0);
            wrong(off, &at, value, format!("value is not a multiple of a given step ({step}) from ({least})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |policy: Value, shared: bool, expected: &[&str]| {
            let mut errors = Vec::new();
            let capacity = json!({"value": "10Gi", "requestPolicy": policy});
            validate(&mut errors, &Path::new("c"), &capacity, shared);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(json!({}), false, &["c.requestPolicy: Forbidden: allowMultipleAllocations must be true"]);
        check(json!({}), true, &[]);
        check(json!({"default": "1Gi", "validValues": ["1Gi", "2Gi"]}), true, &[]);
        check(
            json!({"default": "3Gi", "validValues": ["2Gi", "1Gi", "20Gi"]}),
            true,
            &[
                "c.requestPolicy.validValues[1]: Invalid value: \"1Gi\": values must be sorted in ascending order",
                "c.requestPolicy.validValues[2]: Invalid value: \"20Gi\": option is larger than capacity value: 10Gi",
                "c.requestPolicy.validValues: Invalid value: \"3Gi\": default value is not valid according to the requestPolicy",
            ],
        );
        check(
            json!({"validRange": {"min": "1Gi"}}),
            true,
            &["c.requestPolicy.default: Required value: required when validRange is defined"],
        );
        check(json!({"default": "3Gi", "validRange": {"min": "1Gi", "max": "5Gi", "step": "2Gi"}}), true, &[]);
        check(
            json!({"default": "2Gi", "validRange": {"min": "1Gi", "max": "20Gi", "step": "2Gi"}}),
            true,
            &[
                "c.requestPolicy.validRange.max: Invalid value: \"20Gi\": max is larger than capacity value: 10Gi",
                "c.requestPolicy.validRange.step: Invalid value: \"2Gi\": value is not a multiple of a given step (2Gi) from (1Gi)",
                "c.requestPolicy.validRange.step: Invalid value: \"20Gi\": value is not a multiple of a given step (2Gi) from (1Gi)",
            ],
        );
        let nothing = json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "0"}});
        check(
            nothing,
            true,
            &["c.requestPolicy.validRange.step: Invalid value: \"1Gi\": value is not a multiple of a given step (0) from (1Gi)"],
        );
    }
}
