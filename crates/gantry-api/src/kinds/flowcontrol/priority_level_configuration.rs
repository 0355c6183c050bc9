//! PriorityLevelConfiguration

use crate::field::{Error, Path};
use crate::flowcontrol as bootstrap;
use crate::kind::{Hooks, Kind, Scope, Subresource};
use crate::kinds::checks::Errors;
use crate::kinds::columns::{age_column, column, name_column};
use crate::kinds::flowcontrol::flow_schema::conditions;
use crate::kinds::values::{default_if_zero, default_to, field_mut, given, keep, map_of, number, same, text};
use crate::kinds::{count_generation, start_generation, usual};
use crate::meta;
use serde_json::Value;

/// The kind.
pub fn kind() -> Kind {
    fn shown(value: &Value) -> Value {
        if given(value) { value.clone() } else { "<none>".into() }
    }
    fn queuing<'a>(object: &'a Value, field: &str) -> &'a Value {
        &object["spec"]["limited"]["limitResponse"]["queuing"][field]
    }
    Kind {
        subresources: vec![Subresource::Status],
        columns: vec![
            name_column(),
            column("Type", "string", |o, _| text(&o["spec"]["type"]).into()),
            column("NominalConcurrencyShares", "string", |o, _| {
                shown(&o["spec"]["limited"]["nominalConcurrencyShares"])
            }),
            column("Queues", "string", |o, _| shown(queuing(o, "queues"))),
            column("HandSize", "string", |o, _| shown(queuing(o, "handSize"))),
            column("QueueLengthLimit", "string", |o, _| shown(queuing(o, "queueLengthLimit"))),
            age_column(),
        ],
        hooks: Box::new(PriorityLevelConfigurationHooks),
        ..usual(
            "flowcontrol.apiserver.k8s.io",
            "PriorityLevelConfiguration",
            "prioritylevelconfigurations",
            Scope::Cluster,
        )
    }
}

const MOST_QUEUES: i64 = 10_000_000;
const HASH_BITS: i64 = 60;
const ZERO_SHARES_ANNOTATION: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

struct PriorityLevelConfigurationHooks;

impl Hooks for PriorityLevelConfigurationHooks {
    fn default(&self, object: &mut Value) {
        let spec = map_of(object, "spec");
        for (field, shares) in [("exempt", 0), ("limited", 30)] {
            if let Some(level) = field_mut(spec, field) {
                default_to(level, "nominalConcurrencyShares", shares);
                default_to(level, "lendablePercent", 0);
            }
        }
        if let Some(limited) = field_mut(spec, "limited")
            && let Some(queuing) = field_mut(map_of(limited, "limitResponse"), "queuing")
        {
            default_if_zero(queuing, "handSize", 8);
            default_if_zero(queuing, "queues", 64);
            default_if_zero(queuing, "queueLengthLimit", 50);
        }
        map_of(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        start_generation(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        count_generation(object, old);
    }

    fn prepare_subresource(&self, _: Subresource, _: &mut Value, _: &Value) {}

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        let (path, spec, name) = (Path::new("spec"), &object["spec"], meta::name(object));
        if given(&object["metadata"]["annotations"][ZERO_SHARES_ANNOTATION]) {
            let detail = format!("annotation '{ZERO_SHARES_ANNOTATION}' is forbidden");
            errors.push(Error::forbidden("metadata.annotations", detail));
        }
        level(&mut errors, &path, spec, name);
        fixed(&mut errors, &path, spec, name);
        conditions(&mut errors, object);
        errors
    }

    fn validate_subresource(&self, _: Subresource, object: &Value, _: &Value) -> Vec<Error> {
        let mut errors = Vec::new();
        conditions(&mut errors, object);
        errors
    }
}

/// The mandatory levels are what they are; of the exempt one, `exempt` may change.
fn fixed(errors: &mut Errors, path: &Path, spec: &Value, name: &str) {
    let Some(mandatory) = bootstrap::mandatory_priority_level(name) else {
        return;
    };
    let mut wanted = mandatory["spec"].clone();
    let mut but = "";
    if name == "exempt" {
        keep(&mut wanted, spec, "exempt");
        but = " except the 'spec.exempt' field";
    }
    if !same(spec, &wanted) {
        let detail = format!("spec of '{name}'{but} must equal the fixed value");
        errors.push(Error::invalid(path, spec.clone(), detail));
    }
}

fn level(errors: &mut Errors, path: &Path, spec: &Value, name: &str) {
    let (type_, exempt, limited) = (text(&spec["type"]), &spec["exempt"], &spec["limited"]);
    if (name == "exempt") != (type_ == "Exempt") {
        let detail = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(Error::invalid(path.child("type"), type_, detail));
    }
    match type_ {
        "Exempt" => {
            if given(limited) {
                let detail = "must be nil if the type is not Limited";
                errors.push(Error::forbidden(path.child("limited"), detail));
            }
            shares(errors, &path.child("exempt"), exempt);
            lendable(errors, &path.child("exempt"), exempt);
        }
        "Limited" => {
            if given(exempt) {
                let detail = "must be nil if the type is Limited";
                errors.push(Error::forbidden(path.child("exempt"), detail));
            }
            let at = path.child("limited");
            if !given(limited) {
                errors.push(Error::required(at, "must not be empty when type is Limited"));
                return;
            }
            shares(errors, &at, limited);
            response(errors, &at.child("limitResponse"), &limited["limitResponse"]);
            lendable(errors, &at, limited);
            let borrowed = &limited["borrowingLimitPercent"];
            if number(borrowed) < 0 {
                let detail = "if specified, must be a non-negative integer";
                errors.push(Error::invalid(at.child("borrowingLimitPercent"), borrowed.clone(), detail));
            }
        }
        other => errors.push(Error::not_supported(path.child("type"), other, &["Exempt", "Limited"])),
    }
}

fn shares(errors: &mut Errors, path: &Path, level: &Value) {
    let shares = &level["nominalConcurrencyShares"];
    if number(shares) < 0 {
        let detail = "must be a non-negative integer";
        errors.push(Error::invalid(path.child("nominalConcurrencyShares"), shares.clone(), detail));
    }
}

fn lendable(errors: &mut Errors, path: &Path, level: &Value) {
    let percent = &level["lendablePercent"];
    if !(0..=100).contains(&number(percent)) {
        let detail = "must be between 0 and 100, inclusive";
        errors.push(Error::invalid(path.child("lendablePercent"), percent.clone(), detail));
    }
}

fn response(errors: &mut Errors, path: &Path, response: &Value) {
    let (at, queuing) = (path.child("queuing"), &response["queuing"]);
    match text(&response["type"]) {
        "Reject" if given(queuing) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(Error::forbidden(at, detail));
        }
        "Reject" => {}
        "Queue" if given(queuing) => queues(errors, &at, queuing),
        "Queue" => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(Error::required(at, detail));
        }
        other => errors.push(Error::not_supported(path.child("type"), other, &["Queue", "Reject"])),
    }
}

fn queues(errors: &mut Errors, path: &Path, queuing: &Value) {
    let of = |field: &str| number(&queuing[field]);
    let (length, queues, hand) = (of("queueLengthLimit"), of("queues"), of("handSize"));
    let mut wrong = |field: &str, value: i64, detail: String| {
        errors.push(Error::invalid(path.child(field), value, detail));
    };
    if length <= 0 {
        wrong("queueLengthLimit", length, "must be positive".into());
    }
    if queues <= 0 {
        wrong("queues", queues, "must be positive".into());
    } else if queues > MOST_QUEUES {
        wrong("queues", queues, format!("must not be greater than {MOST_QUEUES}"));
    }
    if hand <= 0 {
        wrong("handSize", hand, "must be positive".into());
    } else if hand > queues {
        wrong("handSize", hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        wrong("handSize", hand, detail);
    }
}

/// How many bits of a hash dealing a hand takes. Source: k8s.io/apiserver/pkg/util/shufflesharding.
fn entropy_bits(deck: i64, hand: i64) -> i64 {
    // Beyond this the answer is far above what a hash has.
    const ENOUGH: i64 = 64;
    (0..hand.min(ENOUGH)).map(|dealt| ((deck - dealt) as f64).log2()).sum::<f64>().ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules() {
        let check = |name: &str, spec: Value, expected: &[&str]| {
            let mut object = json!({"metadata": {"name": name}, "spec": spec});
            PriorityLevelConfigurationHooks.default(&mut object);
            let errors = PriorityLevelConfigurationHooks.validate(&object);
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        let reject = json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}});
        check("p", reject, &[]);
        check("exempt", json!({"type": "Exempt", "exempt": {"lendablePercent": 5}}), &[]);
        check(
            "exempt",
            json!({"type": "Exempt", "exempt": {"lendablePercent": 101}}),
            &["spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"],
        );
        check(
            "p",
            json!({"type": "Limited"}),
            &["spec.limited: Required value: must not be empty when type is Limited"],
        );
        check(
            "p",
            json!({"type": "Exempt"}),
            &["spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"],
        );
        let queue = |queuing: Value| {
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}})
        };
        check("p", queue(json!({})), &[]);
        check(
            "p",
            queue(json!({"queues": 4})),
            &["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"],
        );
        check(
            "p",
            queue(json!({"queues": 1024})),
            &["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 1024 \
               and handSize 8 should not be greater than 60"],
        );
    }

    #[test]
    fn the_catch_all_is_fixed() {
        let mut object = bootstrap::mandatory_priority_level("catch-all").unwrap();
        assert_eq!(PriorityLevelConfigurationHooks.validate(&object), []);
        object["spec"]["limited"]["nominalConcurrencyShares"] = 6.into();
        assert_eq!(PriorityLevelConfigurationHooks.validate(&object).len(), 1);
    }
}
