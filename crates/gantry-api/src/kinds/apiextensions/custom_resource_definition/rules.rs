//! The rules of a definition's schemas: their form, whether they compile, and what they may cost.
//!
//! Source: pkg/apis/apiextensions/validation/validation.go and cel_validation.go.

use super::structural;
use crate::field::{Error, ErrorKind, Path};
use crate::kinds::checks::Errors;
use crate::kinds::values::{given, list, text};
use crate::schema::{Internal, Type};
use crate::structural::rules::compile;
use crate::structural::{Structural, field_path};
use gantry_cel::Decl;
use serde_json::Value;
use std::cell::OnceCell;
use std::sync::Arc;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const RULE: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ValidationRule";

/// What running one rule for one object may cost, and what all rules of a schema may cost together.
const MOST: u64 = 10_000_000;
const MOST_OF_ALL: u64 = 100_000_000;

/// Checks the form of a schema's rules.
pub fn form(errors: &mut Errors, path: &Path, schema: &Value) {
    for (i, rule) in list(&schema["x-kubernetes-validations"]).iter().enumerate() {
        let at = path.index(i);
        let of = |field: &str| text(&rule[field]);
        let broken = |text: &str| text.trim().contains(['\n', '\r']);
        if of("rule").trim().is_empty() {
            errors.push(Error::required(at.child("rule"), "rule is not specified"));
        } else if !of("message").is_empty() && of("message").trim().is_empty() {
            errors.push(Error::invalid(at.child("message"), of("message"), "must be non-empty if specified"));
        } else if broken(of("message")) {
            errors.push(Error::invalid(at.child("message"), of("message"), "must not contain line breaks"));
        } else if broken(of("rule")) && of("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(Error::required(at.child("message"), detail));
        }
        if !of("messageExpression").is_empty() && of("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(Error::required(at.child("messageExpression"), detail));
        }
        if given(&rule["reason"]) && !REASONS.contains(&of("reason")) {
            errors.push(Error::not_supported(at.child("reason"), of("reason"), &REASONS));
        }
        if !of("fieldPath").is_empty() && of("fieldPath").trim().is_empty() {
            errors.push(Error::invalid(at.child("fieldPath"), of("fieldPath"), "must be non-empty if specified"));
        }
        if of("fieldPath").contains(['\n', '\r']) {
            errors.push(Error::invalid(at.child("fieldPath"), of("fieldPath"), "must not contain line breaks"));
        }
        if !of("fieldPath").is_empty()
            && structural::is_readable(schema)
            && field_path::find(&Structural::of(schema), of("fieldPath"), true).is_err()
        {
            errors.push(Error::invalid(at.child("fieldPath"), of("fieldPath"), "must be a valid path"));
        }
    }
}

/// A node of a schema that rules may be about.
pub struct Scope<'a> {
    schema: &'a Value,
    /// At its root is a whole object.
    root: bool,
    parent: Option<(&'a Scope<'a>, Step<'a>)>,
    /// Whether rules stand here or above: what is declared then is what they see.
    has_rules: bool,
    /// How often it can be in an object at most, if that is limited.
    most: Option<u64>,
    decl: OnceCell<Option<Arc<Decl>>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Items,
    Values,
}

impl<'a> Scope<'a> {
    /// The root of a schema.
    pub fn root(schema: &'a Value) -> Self {
        Scope {
            schema,
            root: true,
            parent: None,
            has_rules: has_rules(schema),
            most: Some(1),
            decl: OnceCell::new(),
        }
    }

    /// A field.
    pub fn field(&'a self, name: &'a str, schema: &'a Value) -> Self {
        self.child(schema, Step::Field(name))
    }

    /// The items of a list.
    pub fn items(&'a self, schema: &'a Value) -> Self {
        self.child(schema, Step::Items)
    }

    /// The values of a map.
    pub fn values(&'a self, schema: &'a Value) -> Self {
        self.child(schema, Step::Values)
    }

    fn child(&'a self, schema: &'a Value, step: Step<'a>) -> Self {
        let count = |field: &str| self.schema[field].as_i64().map(|n| n.max(0).cast_unsigned());
        let times = match text(&self.schema["type"]) {
            "object" if given(&self.schema["additionalProperties"]) => count("maxProperties"),
            "array" => count("maxItems"),
            _ => Some(1),
        };
        Scope {
            schema,
            root: false,
            parent: Some((self, step)),
            has_rules: self.has_rules || has_rules(schema),
            most: self.most.and_then(|most| Some(most.saturating_mul(times?))),
            decl: OnceCell::new(),
        }
    }

    /// What is declared here; none when nothing is known of it.
    fn decl(&self) -> Option<&Arc<Decl>> {
        let above = self.parent.filter(|(parent, _)| parent.has_rules);
        let made = self.decl.get_or_init(|| {
            let decl = match above {
                Some((parent, step)) => {
                    let parent = parent.decl()?;
                    match step {
                        Step::Field(name) => parent.child(name),
                        Step::Values => parent.child(""),
                        Step::Items => parent.item(),
                    }
                    .cloned()
                }
                None => None,
            };
            let decl = decl.unwrap_or_else(|| Decl::of_schema(self.schema, self.root));
            decl.has_type().then_some(decl)
        });
        made.as_ref()
    }
}

fn has_rules(schema: &Value) -> bool {
    !list(&schema["x-kubernetes-validations"]).is_empty()
}

/// What the rules of a schema cost together.
pub struct Total {
    limited: bool,
    cost: u64,
    /// Those that cost most, if they cost much.
    most: Vec<(String, u64)>,
}

impl Total {
    /// Whether each rule has a limit of its own, too.
    pub fn new(limited: bool) -> Self {
        Total {
            limited,
            cost: 0,
            most: Vec::new(),
        }
    }

    fn add(&mut self, path: String, cost: u64) {
        const SHOWN: usize = 4;
        self.cost = self.cost.saturating_add(cost);
        if cost >= MOST_OF_ALL / 100 {
            self.most.push((path, cost));
            self.most.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.most.truncate(SHOWN);
        }
    }

    /// Refuses rules that cost too much together.
    pub fn check(self, errors: &mut Errors, path: &Path) {
        if self.cost <= MOST_OF_ALL {
            return;
        }
        let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.extend(self.most.into_iter().map(|(path, _)| Error::forbidden(path, detail)));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(path, too_costly(what, self.cost, MOST_OF_ALL)));
    }
}

fn too_costly(what: &str, cost: u64, limit: u64) -> String {
    let times = cost as f64 / limit as f64;
    let factor = match times {
        _ if times > 100.0 => "more than 100x".to_string(),
        // One digit would say that it is as large as it may be.
        _ if times < 1.5 => format!("{times:.6}x"),
        _ => format!("{times:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// Compiles the rules of one node.
pub fn compile(
    errors: &mut Errors,
    total: &mut Total,
    path: &Path,
    schema: &Value,
    scope: &Scope,
    uncorrelated: Option<&Path>,
) {
    if !has_rules(schema) {
        return;
    }
    let Some(decl) = scope.decl() else {
        let detail = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to \
                      convert structural schema to CEL declarations";
        errors.push(Error::new(ErrorKind::Internal, path, Value::Null, detail));
        return;
    };
    let times = scope.most.unwrap_or_else(|| decl.max_cardinality());
    let written = list(&schema["x-kubernetes-validations"]);
    for (i, (rule, written)) in compile::compile(schema, decl).iter().zip(written).enumerate() {
        let at = path.index(i);
        let (rule_at, message_at) = (at.child("rule"), at.child("messageExpression"));
        let shown = || Internal::new(&Type::Message(RULE), written).to_string();
        let wrong = |at: &Path, why: &str| Error::invalid(at, written.clone(), why).showing(shown());
        let cost = rule.most_cost().saturating_mul(times);
        if total.limited && cost > MOST {
            errors.push(Error::forbidden(rule_at, too_costly("estimated rule cost", cost, MOST)));
        }
        total.add(rule_at.to_string(), cost);
        if let Err(why) = &rule.program {
            errors.push(wrong(&rule_at, why));
        }
        if let Some(why) = &rule.message_error {
            errors.push(wrong(&message_at, why));
        }
        if let Some(cost) = rule.most_message_cost() {
            if total.limited && cost > MOST {
                let detail = too_costly("estimated messageExpression cost", cost, MOST);
                errors.push(Error::forbidden(message_at, detail));
            }
            total.add(message_at.to_string(), cost);
        }
        if let Some(above) = uncorrelated.filter(|_| rule.uses_old()) {
            let detail = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
            errors.push(Error::invalid(rule_at, text(&written["rule"]), detail));
        }
        if !rule.uses_old() && given(&written["optionalOldSelf"]) {
            let detail = "may not be set if oldSelf is not used in rule";
            errors.push(Error::invalid(at.child("optionalOldSelf"), written["optionalOldSelf"].clone(), detail));
        }
    }
}
