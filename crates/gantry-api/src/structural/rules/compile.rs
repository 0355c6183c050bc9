//! Rules and what they are compiled to. Source: pkg/apiserver/schema/cel/compilation.go.

use crate::structural::{Structural, field_path};
use gantry_cel::{CompileError, Decl, Env, Program, Type};
use serde_json::Value;
use std::sync::Arc;

/// The name by which messages of the compiler call the type of what a rule is about.
const TYPE: &str = "self";

/// What an object breaks when a rule does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A value is malformed.
    Invalid,
    /// A value is not allowed.
    Forbidden,
    /// A value is missing.
    Required,
    /// A value appears twice.
    Duplicate,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// The rule or, if there is one, the message: what errors call it.
    pub name: String,
    /// What is said when it does not hold, unless an expression says more.
    pub message: String,
    /// The expression of the message as it is written.
    pub message_expression: String,
    /// What an error is then.
    pub reason: Reason,
    /// The field that errors name, below that of the rule; empty for that one.
    pub field_path: String,
    /// Whether it also runs when there is nothing to compare with.
    pub optional_old: bool,
    /// The rule, or why it cannot be run.
    pub program: Result<Program, String>,
    /// The message, if an expression makes it.
    pub message_program: Option<Program>,
    /// Why the expression of the message cannot be run, if so.
    pub message_error: Option<String>,
}

impl Rule {
    /// Whether it compares with what was there before.
    pub fn uses_old(&self) -> bool {
        self.program.as_ref().is_ok_and(|p| p.uses("oldSelf"))
    }

    /// What running it once costs at most.
    pub fn most_cost(&self) -> u64 {
        self.program.as_ref().map_or(0, |p| p.estimated_cost().max)
    }

    /// What making the message costs at most, if an expression makes it.
    pub fn most_message_cost(&self) -> Option<u64> {
        self.message_program.as_ref().map(|p| p.estimated_cost().max)
    }
}

/// Compiles the `x-kubernetes-validations` of one node of a schema.
pub fn compile(schema: &Value, decl: &Arc<Decl>) -> Vec<Rule> {
    let rules = schema["x-kubernetes-validations"].as_array();
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
        return Vec::new();
    };
    let own = Env::default().declared("self", decl, TYPE);
    let (plain, optional) = (
        own.clone().declared("oldSelf", decl, TYPE),
        own.declared_optional("oldSelf", decl, TYPE),
    );
    let env = |rule: &Value| match rule["optionalOldSelf"] == true {
        true => &optional,
        false => &plain,
    };
    rules.iter().map(|rule| one(schema, rule, env(rule))).collect()
}

fn one(schema: &Value, rule: &Value, env: &Env) -> Rule {
    let text = |field: &str| rule[field].as_str().unwrap_or("");
    let (expression, message) = (text("rule"), text("message").trim());
    let name = match message {
        "" => expression.trim(),
        message => message,
    };
    let program = env
        .compile(expression, &[Type::Bool])
        .map_err(|error| match error {
            CompileError::Issues(issues) => format!("compilation failed: {issues}"),
            CompileError::Output(_) => "cel expression must evaluate to a bool".into(),
            CompileError::Unusable(why) => format!("program instantiation failed: {why}"),
        });
    let message_expression = text("messageExpression");
    let made = (program.is_ok() && !message_expression.is_empty())
        .then(|| env.compile(message_expression, &[Type::String]));
    let (message_program, message_error) = match made {
        None => (None, None),
        Some(Ok(program)) => (Some(program), None),
        Some(Err(error)) => (
            None,
            Some(match error {
                CompileError::Issues(issues) => format!("messageExpression compilation failed: {issues}"),
                CompileError::Output(_) => "messageExpression must evaluate to a string".into(),
                CompileError::Unusable(why) => format!("messageExpression instantiation failed: {why}"),
            }),
        ),
    };
    let field_path = match text("fieldPath") {
        "" => String::new(),
        path => {
            let found = field_path::find(&Structural::of(schema), path, true).map(|(written, _)| written);
            found.unwrap_or_default()
        }
    };
    Rule {
        name: name.to_string(),
        message: match message {
            "" => format!("failed rule: {name}"),
            message => message.to_string(),
        },
        message_expression: message_expression.to_string(),
        reason: match text("reason") {
            "FieldValueForbidden" => Reason::Forbidden,
            "FieldValueRequired" => Reason::Required,
            "FieldValueDuplicate" => Reason::Duplicate,
            _ => Reason::Invalid,
        },
        field_path,
        optional_old: rule["optionalOldSelf"] == true,
        program,
        message_program,
        message_error,
    }
}
