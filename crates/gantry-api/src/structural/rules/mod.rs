//! The rules of `x-kubernetes-validations`: expressions in CEL that objects must fulfil.
//!
//! They are compiled when a definition is taken in, and run when objects are written. Source:
//! pkg/apiserver/schema/cel/validation.go.

pub mod compile;
mod correlated;
#[cfg(test)]
mod tests;

use super::{Additional, Structural};
use crate::field::Error;
use compile::{Reason, Rule};
pub use correlated::Correlated;
use gantry_cel::{Decl, Program, limits};
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest message that an expression may make, in bytes.
const LONGEST_MESSAGE: usize = 5 * 1024;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The rules of a schema's node and of those within it. Nodes without any are left out.
#[derive(Debug)]
pub struct Rules {
    own: Vec<Rule>,
    uses_old: bool,
    decl: Arc<Decl>,
    fields: BTreeMap<SmolStr, Rules>,
    additional: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
}

impl Rules {
    /// Compiles the rules of a schema, as it is written; none when there are none. At its root may be a whole object.
    pub fn of(schema: &Value, root: bool) -> Option<Rules> {
        has_rules(schema).then(|| node(schema, &Decl::of_schema(schema, root)))?
    }

    /// Runs the rules for a value that stands at a path, and may replace another; `schema` is what they were compiled
    /// of. Also returns what is left of the budget, which is negative when the rest of the rules were not run.
    pub fn run(&self, at: &At, budget: i64) -> (Vec<Error>, i64) {
        let mut run = Run {
            errors: Vec::new(),
            budget,
        };
        // What was found until the budget was used up is told.
        let _ = run.node(self, at);
        (run.errors, run.budget)
    }

    /// The same for a new value, with all that one object's rules may cost.
    pub fn check(&self, schema: &Structural, value: &Value, old: Option<&Value>) -> Vec<Error> {
        let correlated = old.map(|old| Correlated::root(schema, value, old));
        let at = At {
            path: String::new(),
            schema,
            value,
            old,
            correlated: correlated.unwrap_or_default(),
        };
        self.run(&at, limits::PER_OBJECT.cast_signed()).0
    }
}

/// Whether rules stand anywhere on the spine of a schema.
pub fn has_rules(schema: &Value) -> bool {
    let own = schema["x-kubernetes-validations"].as_array();
    let mut fields = schema["properties"].as_object().into_iter().flatten();
    own.is_some_and(|rules| !rules.is_empty())
        || ["items", "additionalProperties"]
            .iter()
            .any(|f| schema[*f].is_object() && has_rules(&schema[*f]))
        || fields.any(|(_, field)| has_rules(field))
}

fn node(schema: &Value, decl: &Arc<Decl>) -> Option<Rules> {
    // Expressions know nothing of data without a type, and there are no rules for it.
    let below = |schema: &Value, decl: Option<&Arc<Decl>>| {
        decl.filter(|d| d.has_type()).and_then(|d| node(schema, d))
    };
    let one = |field: &str, decl: Option<&Arc<Decl>>| match schema[field].is_object() {
        true => below(&schema[field], decl).map(Box::new),
        false => None,
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    let rules = Rules {
        own: compile::compile(schema, decl),
        uses_old: false,
        decl: decl.clone(),
        fields: fields
            .filter_map(|(name, field)| Some((name.into(), below(field, decl.child(name))?)))
            .collect(),
        // Of a map all values are declared alike, whatever their key.
        additional: one("additionalProperties", decl.child("")),
        items: one("items", decl.item()),
    };
    let empty = rules.own.is_empty()
        && rules.fields.is_empty()
        && rules.additional.is_none()
        && rules.items.is_none();
    (!empty).then(|| Rules {
        uses_old: rules.own.iter().any(Rule::uses_old),
        ..rules
    })
}

/// A value that rules are run for.
pub struct At<'a> {
    /// Where it is.
    pub path: String,
    /// Its schema.
    pub schema: &'a Structural,
    /// The value.
    pub value: &'a Value,
    /// What it replaces, as far as that can be told.
    pub old: Option<&'a Value>,
    /// What excuses it.
    pub correlated: Correlated<'a>,
}

impl<'a> At<'a> {
    fn place(&self) -> String {
        match self.path.as_str() {
            // Go prints a path that is not there so.
            "" => "<nil>".into(),
            path => path.into(),
        }
    }

    fn field(&self, name: &str, value: &'a Value, schema: &'a Structural, declared: bool) -> At<'a> {
        At {
            path: match (declared, self.path.as_str()) {
                (true, "") => name.to_string(),
                (true, path) => format!("{path}.{name}"),
                (false, path) => format!("{path}[{name}]"),
            },
            schema,
            value,
            old: self.old.and_then(|o| o.get(name)).filter(|o| !o.is_null()),
            correlated: self.correlated.field(name),
        }
    }

    fn item(&self, index: usize, value: &'a Value, schema: &'a Structural) -> At<'a> {
        At {
            path: format!("{}[{index}]", self.path),
            schema,
            value,
            old: self
                .old
                .and_then(|old| correlated::old_item(self.schema, value, old)),
            correlated: self.correlated.item(index),
        }
    }

    /// An error that shows the value's type.
    fn of_type(&self, detail: String) -> Error {
        Error::invalid(self.place(), self.schema.type_.as_str(), detail)
    }
}

/// No further rules are run.
struct Over;

struct Run {
    errors: Vec<Error>,
    budget: i64,
}

impl Run {
    fn node(&mut self, rules: &Rules, at: &At) -> Result<(), Over> {
        if at.value.is_null() {
            return Ok(());
        }
        self.own(rules, at)?;
        match at.value {
            Value::Object(map) => {
                for (key, value) in map {
                    let declared = at.schema.properties.get(key.as_str());
                    if let (Some(rules), Additional::Like(schema)) =
                        (&rules.additional, &at.schema.additional)
                    {
                        self.node(rules, &at.field(key, value, schema, false))?;
                    }
                    if let (Some(rules), Some(schema)) = (rules.fields.get(key.as_str()), declared) {
                        self.node(rules, &at.field(key, value, schema, true))?;
                    }
                }
            }
            Value::Array(items) => {
                if let (Some(rules), Some(schema)) = (&rules.items, &at.schema.items) {
                    for (i, item) in items.iter().enumerate() {
                        self.node(rules, &at.item(i, item, schema))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn own(&mut self, rules: &Rules, at: &At) -> Result<(), Over> {
        if rules.own.is_empty() {
            return Ok(());
        }
        if self.budget <= 0 {
            return self.end(at.of_type(OUT_OF_BUDGET.into()));
        }
        // Nobody asks for what was there before.
        let old = at.old.filter(|_| rules.uses_old);
        for rule in &rules.own {
            self.rule(rule, &rules.decl, at, old)?;
        }
        Ok(())
    }

    /// Nothing is run after an error.
    fn end(&mut self, error: Error) -> Result<(), Over> {
        self.errors.push(error);
        self.budget = -1;
        Err(Over)
    }

    /// Pays for an evaluation; whether there was enough left.
    fn pay(&mut self, cost: u64) -> bool {
        match i64::try_from(cost) {
            Ok(cost) if cost <= self.budget => {
                self.budget -= cost;
                true
            }
            _ => false,
        }
    }

    fn rule(&mut self, rule: &Rule, decl: &Decl, at: &At, old: Option<&Value>) -> Result<(), Over> {
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => {
                self.errors.push(at.of_type(format!("rule compile error: {why}")));
                return Ok(());
            }
        };
        let transition = rule.uses_old();
        if transition && old.is_none() && !rule.optional_old {
            return Ok(());
        }
        let outcome = evaluate(program, decl, at.value, old, rule.optional_old);
        if !self.pay(outcome.1) {
            return self.end(at.of_type(OUT_OF_BUDGET.into()));
        }
        match outcome.0 {
            Ok(gantry_cel::Value::Bool(true)) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_no_overload() => {
                let detail = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                    rule.name
                );
                self.errors.push(at.of_type(detail));
                return Ok(());
            }
            Err(error) if error.is_over_budget() => {
                return self.end(at.of_type(format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    rule.name
                )));
            }
            Err(error) => {
                self.errors
                    .push(at.of_type(format!("{error} evaluating rule: {}", rule.name)));
                return Ok(());
            }
        }
        let place = match (rule.field_path.as_str(), at.path.as_str()) {
            ("", _) => at.place(),
            (field, "") => field.to_string(),
            (field, path) => format!("{path}.{field}"),
        };
        let excused = !transition && at.correlated.is_same();
        let tell = |error: Error| if excused { error.excused() } else { error };
        let detail = match self.message(rule, decl, at, old) {
            Ok(detail) => detail,
            Err(why) => return self.end(tell(Error::invalid(place, at.schema.type_.as_str(), why))),
        };
        let whole = matches!(at.schema.type_.as_str(), "object" | "array");
        let error = match rule.reason {
            Reason::Forbidden => Error::forbidden(place, detail),
            Reason::Required => Error::required(place, detail),
            Reason::Duplicate if whole => Error::duplicate(place, Value::Null).showing(String::new()),
            Reason::Duplicate => Error::duplicate(place, at.value.clone()),
            Reason::Invalid if whole => Error::malformed(place, detail),
            Reason::Invalid => Error::invalid(place, at.value.clone(), detail),
        };
        self.errors.push(tell(error));
        Ok(())
    }

    /// What is said of a rule that does not hold. When an expression fails to say it, the rule's own words do.
    ///
    /// # Errors
    ///
    /// The expression costs too much.
    fn message(&mut self, rule: &Rule, decl: &Decl, at: &At, old: Option<&Value>) -> Result<String, String> {
        let Some(program) = &rule.message_program else {
            return Ok(rule.message.clone());
        };
        let (result, cost) = evaluate(program, decl, at.value, old, false);
        if !self.pay(cost) {
            return Err(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
                    .into(),
            );
        }
        let text = match result {
            Ok(value) => value.as_str().map(|text| text.trim().to_string()),
            Err(error) if error.is_over_budget() => {
                return Err(format!(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                    crate::field::quoted(&rule.message_expression)
                ));
            }
            Err(_) => None,
        };
        let good = text.filter(|t| !t.is_empty() && t.len() <= LONGEST_MESSAGE && !t.contains('\n'));
        Ok(good.unwrap_or_else(|| rule.message.clone()))
    }
}

/// The value of an expression, and what that did cost.
fn evaluate<'a>(
    program: &'a Program,
    decl: &'a Decl,
    value: &'a Value,
    old: Option<&'a Value>,
    optional_old: bool,
) -> (Result<gantry_cel::Value<'a>, gantry_cel::Error>, u64) {
    let read = |json| gantry_cel::Value::declared(json, decl);
    let old = match (old, optional_old) {
        (None, true) => Some(Ok(gantry_cel::Value::NONE)),
        (None, false) => None,
        (Some(old), true) => Some(read(old).map(gantry_cel::Value::some)),
        (Some(old), false) => Some(read(old)),
    };
    let outcome = program.eval([Some(read(value)), old].into_iter().flatten(), limits::PER_CALL);
    (outcome.result, outcome.cost)
}
