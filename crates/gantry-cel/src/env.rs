//! What expressions may name.

use crate::checker::{self, Checked};
use crate::cost::estimate::Sizes;
use crate::decl::Decl;
use crate::issue::{Issues, Reports};
use crate::program::Program;
use crate::types::Type;
use crate::{cost, parser, plan, validators};
use smol_str::SmolStr;
use std::fmt;
use std::sync::Arc;

/// The variables of expressions. The functions are those of Kubernetes 1.36.
///
/// ```
/// use gantry_cel::{Decl, Env, Type, Value, limits};
/// use serde_json::json;
///
/// let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
/// let decl = Decl::of_schema(&schema, false);
/// let env = Env::default().declared("self", &decl, "self");
/// let rule = env.compile("self.replicas <= 10", &[Type::Bool]).unwrap();
///
/// let object = json!({"replicas": 3});
/// let outcome = rule.eval([Value::declared(&object, &decl)], limits::PER_CALL);
/// assert!(matches!(outcome.result, Ok(Value::Bool(true))));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: Vec<Variable>,
}

#[derive(Clone, Debug)]
struct Variable {
    name: SmolStr,
    type_: Type,
    decl: Option<Arc<Decl>>,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub enum CompileError {
    /// It is wrong.
    Issues(Issues),
    /// It yields a value of another type than is wanted.
    Output(Type),
    /// It is well-formed, but can never be evaluated.
    Unusable(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Issues(issues) => issues.fmt(f),
            CompileError::Output(type_) => write!(f, "unexpected output type {type_}"),
            CompileError::Unusable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CompileError {}

impl Env {
    /// Adds a variable. Its name may have dots.
    pub fn variable(mut self, name: &str, type_: Type) -> Self {
        self.variables.push(Variable {
            name: name.into(),
            type_,
            decl: None,
        });
        self
    }

    /// Adds a variable of declared data. Messages name the types of objects in it by the path to them, which begins with
    /// `type_name`.
    pub fn declared(mut self, name: &str, decl: &Arc<Decl>, type_name: &str) -> Self {
        self.variables.push(Variable {
            name: name.into(),
            type_: Type::declared(decl, type_name),
            decl: Some(decl.clone()),
        });
        self
    }

    /// The same for data that may be absent: the variable is optional.
    pub fn declared_optional(mut self, name: &str, decl: &Arc<Decl>, type_name: &str) -> Self {
        self.variables.push(Variable {
            name: name.into(),
            type_: Type::optional(Type::declared(decl, type_name)),
            decl: Some(decl.clone()),
        });
        self
    }

    /// Compiles an expression that must yield one of the types.
    ///
    /// # Errors
    ///
    /// If it is wrong, yields something else or cannot be evaluated.
    pub fn compile(&self, expression: &str, output: &[Type]) -> Result<Program, CompileError> {
        let parsed = parser::parse(expression).map_err(CompileError::Issues)?;
        let mut reports = Reports::default();
        let checked = checker::check(&parsed.root, &parsed.places, self, &mut reports);
        if reports.is_empty() {
            validators::validate(&parsed.root, &parsed.places, &checked, &mut reports);
        }
        if !reports.is_empty() {
            return Err(CompileError::Issues(reports.into_issues(&parsed.source)));
        }
        let found = checked.type_of(parsed.root.id);
        if !output.iter().any(|wanted| wanted.same(found, false)) {
            return Err(CompileError::Output(found.clone()));
        }
        let plan = plan::plan(&parsed.root, &checked, self).map_err(CompileError::Unusable)?;
        let cost = cost::estimate::estimate(&parsed.root, &checked, self.sizes());
        Ok(Program::new(plan, cost, found.clone(), self.uses(&checked)))
    }

    fn uses(&self, checked: &Checked) -> Vec<SmolStr> {
        let names = self.variables.iter().map(|v| v.name.clone());
        names.filter(|name| checked.variables.contains(name)).collect()
    }

    fn sizes(&self) -> Sizes {
        let declared = self.variables.iter();
        Sizes::new(
            declared
                .filter_map(|v| Some((v.name.clone(), v.decl.clone()?)))
                .collect(),
        )
    }

    pub(crate) fn variable_type(&self, name: &str) -> Option<&Type> {
        self.variables.iter().find(|v| v.name == name).map(|v| &v.type_)
    }

    /// Where the value of a variable stands among those given to an evaluation.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|v| v.name == name)
    }

    pub(crate) fn variable_count(&self) -> usize {
        self.variables.len()
    }
}
