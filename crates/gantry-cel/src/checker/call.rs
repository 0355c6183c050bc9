//! Which functions calls are of.

use super::{Checker, Reference};
use crate::ast::{Call, Expr, operators as op};
use crate::library::{Function, Overload};
use crate::types::Type;
use smol_str::SmolStr;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &Expr, call: &Call) {
        if call.function == op::OPTIONAL_SELECT {
            return self.optional_select(expr, call);
        }
        for arg in &call.args {
            self.check(arg);
        }
        let Some(target) = &call.target else {
            match self.env.function(&call.function) {
                Some(function) => self.resolve(expr, function, None, &call.args, false),
                None => self.undeclared(expr, &call.function),
            }
            return;
        };
        if let Some(prefix) = target.qualified_name()
            && let Some(function) = self.env.function(&format!("{prefix}.{}", call.function))
        {
            return self.resolve(expr, function, None, &call.args, true);
        }
        self.check(target);
        match self.env.function(&call.function) {
            Some(function) => self.resolve(expr, function, Some(target), &call.args, false),
            None => self.undeclared(expr, &call.function),
        }
    }

    /// Finds the signatures that fit a call.
    fn resolve(
        &mut self,
        expr: &Expr,
        function: &'static Function,
        target: Option<&Expr>,
        args: &[Expr],
        qualified: bool,
    ) {
        if matches!(function.name, op::AND | op::OR) {
            return self.logic(expr, function, args);
        }
        let types: Vec<Type> = target.into_iter().chain(args).map(|a| self.get(a)).collect();
        let mut overloads: Vec<&'static Overload> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in &function.overloads {
            if overload.member != target.is_some() || overload.args.len() != types.len() {
                continue;
            }
            let (wanted, returned) = self.instance(overload);
            if !self.bindings.all_assignable(&types, &wanted) {
                continue;
            }
            overloads.push(overload);
            let returned = self.bindings.substitute(&returned, false);
            result = Some(match result {
                None => returned,
                Some(result) if result.is_dyn() || returned.same(&result, false) => result,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let types: Vec<Type> = types.iter().map(|t| self.bindings.substitute(t, true)).collect();
            let signature = signature(&types, target.is_some());
            self.report(
                expr.id,
                format!(
                    "found no matching overload for '{}' applied to '{signature}'",
                    function.name
                ),
            );
            return self.set(expr, Type::Error);
        };
        self.set(expr, result);
        self.refer(
            expr,
            Reference::Function {
                function,
                overloads,
                qualified,
            },
        );
    }

    /// A signature with variables in the place of its parameters.
    fn instance(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let mut names: Vec<(SmolStr, Type)> = Vec::new();
        let args = overload.args.iter().map(|t| self.fresh(t, &mut names)).collect();
        let result = self.fresh(&overload.result, &mut names);
        (args, result)
    }

    fn fresh(&mut self, type_: &Type, names: &mut Vec<(SmolStr, Type)>) -> Type {
        match type_ {
            Type::Param(name) => match names.iter().find(|(n, _)| n == name) {
                Some((_, var)) => var.clone(),
                None => {
                    let var = self.bindings.new_var();
                    names.push((name.clone(), var.clone()));
                    var
                }
            },
            Type::List(element) => Type::list(self.fresh(element, names)),
            Type::Map(entry) => {
                let key = self.fresh(&entry.0, names);
                Type::map(key, self.fresh(&entry.1, names))
            }
            Type::Opaque(name, params) => {
                let params = params.iter().map(|p| self.fresh(p, names)).collect();
                Type::Opaque(name.clone(), params)
            }
            Type::Type(Some(of)) => Type::Type(Some(self.fresh(of, names).into())),
            _ => type_.clone(),
        }
    }

    fn logic(&mut self, expr: &Expr, function: &'static Function, args: &[Expr]) {
        let mut fits = true;
        for arg in args {
            let type_ = self.get(arg);
            if !self.bindings.assignable(&type_, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, &type_);
                fits = false;
            }
        }
        self.set(expr, if fits { Type::Bool } else { Type::Error });
        if fits {
            let overloads = function.overloads.iter().collect();
            self.refer(
                expr,
                Reference::Function {
                    function,
                    overloads,
                    qualified: false,
                },
            );
        }
    }
}

/// Arguments as messages show them.
fn signature(types: &[Type], member: bool) -> String {
    let shown: Vec<String> = types.iter().map(Type::to_string).collect();
    match (member, shown.split_first()) {
        (true, Some((target, rest))) => format!("{target}.({})", rest.join(", ")),
        _ => format!("({})", shown.join(", ")),
    }
}
