//! Types of expressions, and which functions calls are of. Source: cel-go's checker package.

mod call;

use crate::ast::{Call, Comprehension, Expr, Id, Kind, List, Literal, Select, Struct};
use crate::env::Env;
use crate::issue::Reports;
use crate::library::{Function, Overload, mutation};
use crate::types::Type;
use crate::unify::{self, Bindings};
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// What is known of an expression that has been checked.
pub(crate) struct Checked {
    /// The type of every node.
    types: Vec<Type>,
    /// What names and calls are of.
    references: Vec<Option<Reference>>,
    /// The variables that are read, those of loops too.
    pub(crate) variables: BTreeSet<SmolStr>,
}

/// What a name or call refers to.
#[derive(Clone)]
pub(crate) enum Reference {
    /// A variable; selections of it are part of its name.
    Variable(SmolStr),
    /// A type.
    Type(SmolStr),
    /// The signatures of a function that may be called.
    Function {
        function: &'static Function,
        overloads: Vec<&'static Overload>,
        /// Whether what the call seems to be made on is part of the function's name.
        qualified: bool,
    },
    /// The selection of a field that may be absent.
    OptionalSelect,
}

impl Checked {
    pub(crate) fn type_of(&self, id: Id) -> &Type {
        &self.types[id as usize]
    }

    pub(crate) fn reference(&self, id: Id) -> Option<&Reference> {
        self.references[id as usize].as_ref()
    }
}

/// Checks an expression; `places` has the offset of every node.
pub(crate) fn check(root: &Expr, places: &[usize], env: &Env, reports: &mut Reports) -> Checked {
    let mut checker = Checker {
        env,
        places,
        reports,
        types: vec![Type::Error; places.len()],
        references: vec![None; places.len()],
        variables: BTreeSet::new(),
        bindings: Bindings::default(),
        scopes: Vec::new(),
    };
    checker.check(root);
    let bindings = checker.bindings;
    let types = checker.types.iter().map(|t| bindings.substitute(t, true));
    Checked {
        types: types.collect(),
        references: checker.references,
        variables: checker.variables,
    }
}

struct Checker<'c> {
    env: &'c Env,
    places: &'c [usize],
    reports: &'c mut Reports,
    types: Vec<Type>,
    references: Vec<Option<Reference>>,
    variables: BTreeSet<SmolStr>,
    bindings: Bindings,
    /// The variables of the loops around, the innermost last.
    scopes: Vec<(SmolStr, Type)>,
}

impl Checker<'_> {
    fn report(&mut self, id: Id, message: String) {
        self.reports.add(Some(self.places[id as usize]), message);
    }

    fn set(&mut self, expr: &Expr, type_: Type) {
        self.types[expr.id as usize] = type_;
    }

    fn get(&self, expr: &Expr) -> Type {
        self.types[expr.id as usize].clone()
    }

    /// The type of a node as far as it is known by now.
    fn known(&self, expr: &Expr) -> Type {
        self.bindings.substitute(&self.types[expr.id as usize], false)
    }

    fn refer(&mut self, expr: &Expr, reference: Reference) {
        if let Reference::Variable(name) = &reference {
            self.variables.insert(name.clone());
        }
        self.references[expr.id as usize] = Some(reference);
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn undeclared(&mut self, expr: &Expr, name: &str) {
        self.report(
            expr.id,
            format!("undeclared reference to '{name}' (in container '')"),
        );
        self.set(expr, Type::Error);
    }

    fn check(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Literal(literal) => {
                let type_ = match literal {
                    Literal::Null => Type::Null,
                    Literal::Bool(_) => Type::Bool,
                    Literal::Int(_) => Type::Int,
                    Literal::Uint(_) => Type::Uint,
                    Literal::Double(_) => Type::Double,
                    Literal::String(_) => Type::String,
                    Literal::Bytes(_) => Type::Bytes,
                };
                self.set(expr, type_);
            }
            Kind::Ident(name) => {
                if !self.name(expr, name) {
                    self.undeclared(expr, name);
                }
            }
            Kind::Select(select) => self.select(expr, select),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(list) => self.list(expr, list),
            Kind::Map(_) => self.map(expr),
            Kind::Struct(message) => self.message(expr, message),
            Kind::Comprehension(comprehension) => self.comprehension(expr, comprehension),
            Kind::Broken => {}
        }
    }

    /// Whether a name is that of a variable or a type; then the node is it.
    fn name(&mut self, expr: &Expr, name: &str) -> bool {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(type_) = self.variable(name) {
            self.set(expr, type_);
            self.refer(expr, Reference::Variable(name.into()));
            return true;
        }
        match self.env.type_named(name) {
            Some(type_) => {
                self.set(expr, Type::Type(Some(type_.into_owned().into())));
                self.refer(expr, Reference::Type(name.into()));
                true
            }
            None => false,
        }
    }

    fn variable(&self, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(n, _)| n == name);
        let found = local.map(|(_, t)| t);
        found.or_else(|| self.env.variable_type(name)).cloned()
    }

    fn select(&mut self, expr: &Expr, select: &Select) {
        if let Some(name) = expr.qualified_name()
            && self.name(expr, &name)
        {
            return;
        }
        let field = self.field(expr, &select.operand, &select.field, false);
        let type_ = match select.test {
            true => Type::Bool,
            false => self.bindings.substitute(&field, false),
        };
        self.set(expr, type_);
    }

    fn optional_select(&mut self, expr: &Expr, call: &Call) {
        let [operand, field] = call.args.as_slice() else {
            return;
        };
        let Kind::Literal(Literal::String(name)) = &field.kind else {
            return;
        };
        let type_ = self.field(expr, operand, name, true);
        let type_ = self.bindings.substitute(&type_, false);
        self.set(expr, type_);
        self.refer(expr, Reference::OptionalSelect);
    }

    fn field(&mut self, expr: &Expr, operand: &Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand = self.known(operand);
        let (target, wrapped) = match operand.unwrap_optional() {
            Some(inner) => (inner.clone(), true),
            None => (operand.clone(), false),
        };
        let found = match &target {
            Type::Map(entry) => entry.1.clone(),
            Type::Object(object) => {
                let decl = object.decl.as_ref().and_then(|decl| decl.field(field));
                match decl {
                    Some((_, decl)) => decl.type_at(&format!("{}.{field}", object.name)),
                    None if mutation::type_named(&object.name).is_some() => {
                        mutation::field(&object.name, field).unwrap_or(Type::Error)
                    }
                    None if object.decl.is_none() => {
                        self.report(
                            expr.id,
                            format!("unexpected failed resolution of '{}'", object.name),
                        );
                        Type::Error
                    }
                    None => {
                        self.report(expr.id, format!("undefined field '{field}'"));
                        Type::Error
                    }
                }
            }
            Type::Var(_) => {
                self.bindings.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Any | Type::Error => Type::Dyn,
            _ => {
                self.report(
                    expr.id,
                    format!("type '{target}' does not support field selection"),
                );
                Type::Dyn
            }
        };
        match wrapped || optional {
            true => Type::optional(found),
            false => found,
        }
    }

    /// What an optional element is an element of, and whether it may stand there.
    fn element(&mut self, expr: &Expr, optional: bool) -> Type {
        let type_ = self.get(expr);
        if !optional {
            return type_;
        }
        match type_.unwrap_optional() {
            Some(inner) => inner.clone(),
            None => {
                if !type_.is_dyn() {
                    self.mismatch(expr.id, &Type::optional(type_.clone()), &type_);
                }
                type_
            }
        }
    }

    /// The type of elements so far together with that of another.
    fn join(&mut self, before: Option<Type>, type_: Type) -> Type {
        let Some(before) = before else {
            return type_;
        };
        if self.bindings.assignable(&before, &type_) {
            return unify::most_general(&before, &type_);
        }
        // Whether that may be is for the validators to say.
        Type::Dyn
    }

    fn list(&mut self, expr: &Expr, list: &List) {
        let mut elements = None;
        for (i, element) in list.elements.iter().enumerate() {
            self.check(element);
            let type_ = self.element(element, list.optional.contains(&i));
            elements = Some(self.join(elements, type_));
        }
        let elements = elements.unwrap_or_else(|| self.bindings.new_var());
        self.set(expr, Type::list(elements));
    }

    fn map(&mut self, expr: &Expr) {
        let Kind::Map(entries) = &expr.kind else {
            return;
        };
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&entry.key);
            let key = self.get(&entry.key);
            keys = Some(self.join(keys, key));
            self.check(&entry.value);
            let value = self.element(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        let keys = keys.unwrap_or_else(|| self.bindings.new_var());
        let values = values.unwrap_or_else(|| self.bindings.new_var());
        self.set(expr, Type::map(keys, values));
    }

    /// What is made with its fields.
    fn message(&mut self, expr: &Expr, message: &Struct) {
        let name = message.name.strip_prefix('.').unwrap_or(&message.name);
        let mut made = Type::Error;
        if let Some(type_) = self.variable(name) {
            self.report(expr.id, format!("'{}' is not a type", type_.runtime_name()));
        } else if mutation::type_named(name).is_some()
            && let Some(type_) = self.env.type_named(name)
        {
            self.refer(expr, Reference::Type(name.into()));
            made = type_.into_owned();
        } else if let Some(type_) = self.env.type_named(name) {
            self.report(
                expr.id,
                format!("'{}' is not a message type", type_.runtime_name()),
            );
        } else {
            return self.undeclared(expr, &message.name);
        }
        self.set(expr, made.clone());
        for field in &message.fields {
            self.check(&field.value);
            let wanted = match &made {
                Type::Object(object) => mutation::field(&object.name, &field.name),
                _ => {
                    self.report(field.id, format!("undefined field '{}'", field.name));
                    Some(Type::Error)
                }
            };
            let given = self.element(&field.value, field.optional);
            if !wanted
                .as_ref()
                .is_some_and(|wanted| self.bindings.assignable(wanted, &given))
            {
                let wanted = wanted.map(|t| t.to_string()).unwrap_or_default();
                let name = &field.name;
                self.report(
                    field.id,
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{given}'"),
                );
            }
        }
    }

    fn comprehension(&mut self, expr: &Expr, c: &Comprehension) {
        self.check(&c.range);
        self.check(&c.initial);
        let range = self.known(&c.range);
        let accumulator = self.get(&c.initial);
        let outer = self.scopes.len();
        self.scopes.push((c.accumulator.clone(), accumulator.clone()));
        let (first, second) = match &range {
            Type::List(element) if c.second.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Error),
            Type::Map(entry) => (entry.0.clone(), entry.1.clone()),
            Type::Dyn | Type::Error | Type::Var(_) => {
                self.bindings.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let message = "cannot be range of a comprehension (must be list, map, or dynamic)";
                self.report(c.range.id, format!("expression of type '{range}' {message}"));
                (Type::Error, Type::Error)
            }
        };
        let within = self.scopes.len();
        self.scopes.push((c.variable.clone(), first));
        if let Some(name) = &c.second {
            self.scopes.push((name.clone(), second));
        }
        self.check(&c.condition);
        self.assert(&c.condition, &Type::Bool);
        self.check(&c.step);
        self.assert(&c.step, &accumulator);
        self.scopes.truncate(within);
        self.check(&c.result);
        self.scopes.truncate(outer);
        let result = self.known(&c.result);
        self.set(expr, result);
    }

    fn assert(&mut self, expr: &Expr, wanted: &Type) {
        let type_ = self.get(expr);
        if !self.bindings.assignable(wanted, &type_) {
            self.mismatch(expr.id, wanted, &type_);
        }
    }
}
