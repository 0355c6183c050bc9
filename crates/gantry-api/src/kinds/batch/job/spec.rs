//! The rules of a job's spec, alone or in a CronJob's template.

use super::indexes;
use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::checks::{Errors, format, nonnegative, optional_one_of};
use crate::kinds::core::pod;
use crate::kinds::values::{given, list, number, repeats, text};
use serde_json::Value;

const MOST_INDEXES: i64 = 100_000;
/// Above so many completions, with a limit for each index, less may run and fail at once.
const MANY_COMPLETIONS: i64 = 100_000;
const MOST_OF_MANY: i64 = 10_000;

/// The rules of a job's spec.
pub fn spec(errors: &mut Errors, path: &Path, spec: &Value) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        nonnegative(errors, &path.child(field), &spec[field]);
    }
    if given(&spec["maxFailedIndexes"]) && !given(&spec["backoffLimitPerIndex"]) {
        errors.push(Error::required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if given(&spec["managedBy"]) {
        managed_by(errors, &path.child("managedBy"), text(&spec["managedBy"]));
    }
    let mode = &spec["completionMode"];
    optional_one_of(errors, &path.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    if mode == "Indexed" {
        indexed(errors, path, spec);
    }
    if !given(mode) || mode == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if given(&spec[field]) {
                errors.push(Error::invalid(path.child(field), spec[field].clone(), INDEXED));
            }
        }
    }
    if given(&spec["podFailurePolicy"]) {
        failure_policy(errors, &path.child("podFailurePolicy"), spec);
    }
    let success = &spec["successPolicy"];
    if given(success) {
        match mode == "Indexed" {
            true => success_policy(errors, &path.child("successPolicy"), spec),
            false => errors.push(Error::invalid(path.child("successPolicy"), success.clone(), INDEXED)),
        }
    }
    let policies: &[&str] = match given(&spec["podFailurePolicy"]) {
        true => &["Failed"],
        false => &["Failed", "TerminatingOrFailed"],
    };
    let replacement = &spec["podReplacementPolicy"];
    optional_one_of(errors, &path.child("podReplacementPolicy"), replacement, policies);
    pod::validate_template(errors, &path.child("template"), &spec["template"]);
    restart_policy(errors, path, spec);
}

const INDEXED: &str = "requires indexed completion mode";

fn restart_policy(errors: &mut Errors, path: &Path, spec: &Value) {
    let path = path.child("template");
    let path = path.child("spec");
    let (at, policy) = (path.child("restartPolicy"), text(&spec["template"]["spec"]["restartPolicy"]));
    match policy {
        // What is not said has become Always by default.
        "" | "Always" => errors.push(Error::required(at, "valid values: \"OnFailure\", \"Never\"")),
        "Never" => {}
        "OnFailure" if !given(&spec["podFailurePolicy"]) => {}
        "OnFailure" => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(Error::invalid(at, policy, detail));
        }
        other => errors.push(Error::not_supported(at, other, &["OnFailure", "Never"])),
    }
}

fn managed_by(errors: &mut Errors, path: &Path, value: &str) {
    const MOST: usize = 63;
    const PATH: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
    match value.split_once('/') {
        _ if value.is_empty() => errors.push(Error::required(path, "")),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            format(errors, path, host, formats::dns_subdomain);
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
            if !rest.bytes().all(fits) {
                let detail = format!("Invalid path (regex used for validation is '{PATH}')");
                errors.push(Error::invalid(path, rest, detail));
            }
        }
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(Error::invalid(path, value, detail));
        }
    }
    if value.len() > MOST {
        errors.push(Error::too_long(path, MOST));
    }
}

fn indexed(errors: &mut Errors, path: &Path, spec: &Value) {
    let (completions, parallelism) = (&spec["completions"], &spec["parallelism"]);
    let failed = &spec["maxFailedIndexes"];
    let (at_parallelism, at_failed) = (path.child("parallelism"), path.child("maxFailedIndexes"));
    if !given(completions) {
        errors.push(Error::required(path.child("completions"), "when completion mode is Indexed"));
    }
    if number(parallelism) > MOST_INDEXES {
        let detail = format!("must be less than or equal to {MOST_INDEXES} when completion mode is Indexed");
        errors.push(Error::invalid(at_parallelism, parallelism.clone(), detail));
    }
    if given(completions) && number(failed) > number(completions) {
        let detail = "must be less than or equal to completions";
        errors.push(Error::invalid(at_failed, failed.clone(), detail));
    }
    if number(failed) > MOST_INDEXES {
        let detail = format!("must be less than or equal to {MOST_INDEXES}");
        errors.push(Error::invalid(at_failed, failed.clone(), detail));
    }
    if number(completions) <= MANY_COMPLETIONS || !given(&spec["backoffLimitPerIndex"]) {
        return;
    }
    if !given(failed) {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(Error::required(at_failed, detail));
    }
    for (at, value) in [(at_parallelism, parallelism), (at_failed, failed)] {
        if number(value) > MOST_OF_MANY {
            let detail = format!(
                "must be less than or equal to {MOST_OF_MANY} when completions are above {MANY_COMPLETIONS} and \
                 used with backoff limit per index"
            );
            errors.push(Error::invalid(at, value.clone(), detail));
        }
    }
}

const MOST_RULES: usize = 20;

fn failure_policy(errors: &mut Errors, path: &Path, spec: &Value) {
    const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
    let path = path.child("rules");
    let rules = list(&spec["podFailurePolicy"]["rules"]);
    if rules.len() > MOST_RULES {
        errors.push(Error::too_many(path, rules.len(), MOST_RULES));
    }
    let pod = &spec["template"]["spec"];
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|field| list(&pod[*field]))
        .map(|c| text(&c["name"]))
        .collect();
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let at = path.child("action");
        match text(&rule["action"]) {
            "" => errors.push(Error::required(at, format!("valid values: {}", quoted(&ACTIONS)))),
            "FailIndex" if !given(&spec["backoffLimitPerIndex"]) => {
                let detail = "requires the backoffLimitPerIndex to be set";
                errors.push(Error::invalid(at, "FailIndex", detail));
            }
            action if !ACTIONS.contains(&action) => errors.push(Error::not_supported(at, action, &ACTIONS)),
            _ => {}
        }
        let (codes, conditions) = (&rule["onExitCodes"], list(&rule["onPodConditions"]));
        if given(codes) {
            exit_codes(errors, &path.child("onExitCodes"), codes, &containers);
        }
        pod_conditions(errors, &path.child("onPodConditions"), conditions);
        match (given(codes), !conditions.is_empty()) {
            (true, true) => {
                let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
                errors.push(Error::malformed(path, detail));
            }
            (false, false) => {
                let detail = "specifying one of OnExitCodes and OnPodConditions is required";
                errors.push(Error::malformed(path, detail));
            }
            _ => {}
        }
    }
}

/// `["a" "b"]`, as Go writes lists.
fn quoted(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn pod_conditions(errors: &mut Errors, path: &Path, patterns: &[Value]) {
    const STATES: [&str; 3] = ["False", "True", "Unknown"];
    const MOST: usize = 20;
    if patterns.len() > MOST {
        errors.push(Error::too_many(path, patterns.len(), MOST));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        format(errors, &path.child("type"), text(&pattern["type"]), formats::qualified_name);
        let at = path.child("status");
        match text(&pattern["status"]) {
            "" => errors.push(Error::required(at, format!("valid values: {}", quoted(&STATES)))),
            status if !STATES.contains(&status) => errors.push(Error::not_supported(at, status, &STATES)),
            _ => {}
        }
    }
}

fn exit_codes(errors: &mut Errors, path: &Path, codes: &Value, containers: &[&str]) {
    const OPERATORS: [&str; 2] = ["In", "NotIn"];
    const MOST: usize = 255;
    let (at, operator) = (path.child("operator"), text(&codes["operator"]));
    match operator {
        "" => errors.push(Error::required(at, format!("valid values: {}", quoted(&OPERATORS)))),
        operator if !OPERATORS.contains(&operator) => {
            errors.push(Error::not_supported(at, operator, &OPERATORS));
        }
        _ => {}
    }
    let container = &codes["containerName"];
    if given(container) && !containers.contains(&text(container)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(Error::invalid(path.child("containerName"), container.clone(), detail));
    }
    let (at, values) = (path.child("values"), list(&codes["values"]));
    if values.is_empty() {
        errors.push(Error::invalid(at, codes["values"].clone(), "at least one value is required"));
    } else if values.len() > MOST {
        errors.push(Error::too_many(at, values.len(), MOST));
    }
    let repeated = repeats(values, |value| value);
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && value == 0 {
            errors.push(Error::invalid(at.index(i), 0, "must not be 0 for the In operator"));
        }
        if repeated[i] {
            errors.push(Error::duplicate(at.index(i), value.clone()));
        }
    }
    if !values.is_sorted_by_key(number) {
        errors.push(Error::invalid(at, codes["values"].clone(), "must be ordered"));
    }
}

fn success_policy(errors: &mut Errors, path: &Path, spec: &Value) {
    const LONGEST: usize = 64 << 10;
    let path = path.child("rules");
    let rules = list(&spec["successPolicy"]["rules"]);
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(path, detail));
    }
    if rules.len() > MOST_RULES {
        errors.push(Error::too_many(path, rules.len(), MOST_RULES));
    }
    let completions = number(&spec["completions"]);
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let (named, count) = (&rule["succeededIndexes"], &rule["succeededCount"]);
        if !given(named) && !given(count) {
            let detail = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(Error::required(path, detail));
        }
        let mut total = 0;
        if given(named) {
            let at = path.child("succeededIndexes");
            if text(named).len() > LONGEST {
                errors.push(Error::too_long(at, LONGEST));
            }
            match indexes::count(text(named), completions) {
                Ok(count) => total = count,
                Err(problem) => {
                    let detail = format!("error parsing succeededIndexes: {problem}");
                    errors.push(Error::invalid(at, named.clone(), detail));
                }
            }
        }
        let at = path.child("succeededCount");
        nonnegative(errors, &at, count);
        let mut at_most = |most: i64, of: &str| {
            if number(count) > most {
                let detail = format!("must be less than or equal to {most} (the number of {of})");
                errors.push(Error::invalid(at, count.clone(), detail));
            }
        };
        at_most(completions, "specified completions");
        if given(named) {
            at_most(total, "indexes in the specified succeededIndexes field");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            let mut job = json!({"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
            }}}});
            crate::kinds::core::pod::default_template(&mut job["spec"], "template");
            change(&mut job["spec"]);
            let mut errors = Vec::new();
            spec(&mut errors, &Path::new("spec"), &job["spec"]);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected, "{}", job["spec"]);
        };
        check(|_| {}, &[]);
        check(|s| s["managedBy"] = "acme.io/foo".into(), &[]);
        check(|s| s["managedBy"] = "foo".into(), &[
            "spec.managedBy: Invalid value: \"foo\": must be a domain-prefixed path (such as \"acme.io/foo\")",
        ]);
        check(|s| s["completionMode"] = "Any".into(), &[
            "spec.completionMode: Unsupported value: \"Any\": supported values: \"NonIndexed\", \"Indexed\"",
        ]);
        check(|s| s["podFailurePolicy"] = json!({"rules": [{"action": "FailIndex"}, {"onExitCodes": {"operator": "In", "values": [1, 0, 1]}}]}), &[
            "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            "spec.podFailurePolicy.rules[1].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
            "spec.podFailurePolicy.rules[1].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[1].onExitCodes.values[2]: Duplicate value: 1",
            "spec.podFailurePolicy.rules[1].onExitCodes.values: Invalid value: [1,0,1]: must be ordered",
        ]);
        check(
            |s| {
                s["completionMode"] = "Indexed".into();
                s["completions"] = 3.into();
                s["successPolicy"] = json!({"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}, {}]});
            },
            &[
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number \
                 of indexes in the specified succeededIndexes field)",
                "spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be \
                 specified",
            ],
        );
        check(
            |s| {
                s["completionMode"] = "Indexed".into();
                s["completions"] = 100_001.into();
                s["parallelism"] = 10_001.into();
                s["backoffLimitPerIndex"] = 1.into();
            },
            &[
                "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above \
                 100000 and used with backoff limit per index",
            ],
        );
        check(|s| s["template"]["spec"]["restartPolicy"] = "Always".into(), &[
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ]);
    }
}
