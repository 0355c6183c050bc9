//! What expressions may name.

use crate::checker::{self, Checked};
use crate::cost::estimate::Sizes;
use crate::decl::Decl;
use crate::issue::{Issues, Reports};
use crate::library::{Function, LIBRARY, mutation};
use crate::program::Program;
use crate::types::Type;
use crate::{cost, parser, plan, stack, validators};
use smol_str::SmolStr;
use std::borrow::Cow;
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
    binds: bool,
    mutates: bool,
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

    /// Lets expressions name what they compute, with `cel.bind`.
    pub fn with_bind(mut self) -> Self {
        self.binds = true;
        self
    }

    /// Lets expressions make objects and patches: `Object{...}`, `Object.spec{...}`, `JSONPatch{...}`.
    pub fn with_mutation(mut self) -> Self {
        self.mutates = true;
        self
    }

    /// Compiles an expression that must yield one of the types.
    ///
    /// # Errors
    ///
    /// If it is wrong, yields something else or cannot be evaluated.
    pub fn compile(&self, expression: &str, output: &[Type]) -> Result<Program, CompileError> {
        self.compile_with_room(expression, Some(output))
    }

    /// Compiles an expression that may yield anything.
    ///
    /// # Errors
    ///
    /// If it is wrong or cannot be evaluated.
    pub fn compile_any(&self, expression: &str) -> Result<Program, CompileError> {
        self.compile_with_room(expression, None)
    }

    fn compile_with_room(&self, expression: &str, output: Option<&[Type]>) -> Result<Program, CompileError> {
        let nesting = stack::nesting(expression);
        let compiled = stack::with_room(nesting, || self.compile_to(expression, output, nesting));
        compiled
            .unwrap_or_else(|stack::NoRoom| Err(CompileError::Unusable("there is no thread for it".into())))
    }

    fn compile_to(
        &self,
        expression: &str,
        output: Option<&[Type]>,
        nesting: usize,
    ) -> Result<Program, CompileError> {
        let parsed = parser::parse(expression, self.binds).map_err(CompileError::Issues)?;
        let mut reports = Reports::default();
        let checked = checker::check(&parsed.root, &parsed.places, self, &mut reports);
        if reports.is_empty() {
            validators::validate(&parsed.root, &parsed.places, &checked, &mut reports);
        }
        if !reports.is_empty() {
            return Err(CompileError::Issues(reports.into_issues(&parsed.source)));
        }
        let found = checked.type_of(parsed.root.id);
        if output.is_some_and(|output| !output.iter().any(|wanted| wanted.same(found, false))) {
            return Err(CompileError::Output(found.clone()));
        }
        let plan = plan::plan(&parsed.root, &checked, self).map_err(CompileError::Unusable)?;
        let cost = cost::estimate::estimate(&parsed.root, &checked, self.sizes());
        Ok(Program {
            plan,
            cost,
            output: found.clone(),
            uses: self.uses(&checked),
            nesting,
        })
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

    /// The type that a name stands for, and the function.
    pub(crate) fn type_named(&self, name: &str) -> Option<Cow<'static, Type>> {
        let fixed = LIBRARY.type_named(name).or_else(|| self.scalar_named(name));
        let made = || mutation::type_named(name).filter(|_| self.mutates);
        fixed.map(Cow::Borrowed).or_else(|| made().map(Cow::Owned))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&'static Function> {
        LIBRARY
            .function(name)
            .filter(|f| self.mutates || f.name != mutation::ESCAPE_KEY)
    }

    /// Types whose short names count where data is declared. They can be written but, as upstream has it, not used.
    fn scalar_named(&self, name: &str) -> Option<&'static Type> {
        let declares = self.variables.iter().any(|v| v.decl.is_some());
        match name {
            "duration" if declares => Some(&Type::Duration),
            "timestamp" if declares => Some(&Type::Timestamp),
            _ => None,
        }
    }

    /// Where the value of a variable stands among those given to an evaluation.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|v| v.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.variables.iter().map(|v| &v.name)
    }
}
