//! The cost of an expression before it is evaluated.

use super::{Call, Estimate, NEW_LIST, NEW_MAP, NEW_OBJECT, Node, Range};
use crate::ast::{self, Comprehension, Entry, Expr, Id, Kind, List, Literal, Select, operators as op};
use crate::checker::{Checked, Reference};
use crate::decl::Decl;
use crate::macros::ACCUMULATOR;
use crate::types::Type;
use crate::value::characters;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::sync::Arc;

/// How large data may be, by its declaration.
pub(crate) struct Sizes {
    declared: Vec<(SmolStr, Arc<Decl>)>,
}

impl Sizes {
    pub(crate) fn new(declared: Vec<(SmolStr, Arc<Decl>)>) -> Self {
        Sizes { declared }
    }

    /// The size of what a path leads to. It begins with a variable; names of types count as the first one.
    pub(crate) fn of(&self, path: &[SmolStr]) -> Option<Range> {
        let (variable, steps) = path.split_first()?;
        let found = self.declared.iter().find(|(name, _)| name == variable);
        let (_, root) = found.or(self.declared.first())?;
        let mut decl: &Decl = root;
        for step in steps {
            decl = decl.step(step)?;
        }
        Some(Range::new(0, decl.max_elements))
    }
}

/// Estimates what an expression costs.
pub(crate) fn estimate(root: &Expr, checked: &Checked, sizes: Sizes) -> Range {
    Estimator {
        checked,
        sizes: &sizes,
        paths: HashMap::new(),
        known: HashMap::new(),
        entries: HashMap::new(),
        locals: Vec::new(),
    }
    .cost(root)
}

/// The sizes of what is in a list or map.
#[derive(Clone, Copy)]
struct Entries {
    is_list: bool,
    key: Range,
    value: Range,
}

impl Entries {
    fn union(self, other: Entries) -> Entries {
        Entries {
            is_list: self.is_list,
            key: self.key.union(other.key),
            value: self.value.union(other.value),
        }
    }
}

struct Local {
    name: SmolStr,
    path: Vec<SmolStr>,
    size: Option<Range>,
    entries: Option<Entries>,
}

struct Estimator<'e> {
    checked: &'e Checked,
    sizes: &'e Sizes,
    paths: HashMap<Id, Vec<SmolStr>>,
    known: HashMap<Id, Range>,
    entries: HashMap<Id, Entries>,
    locals: Vec<Local>,
}

impl<'e> Estimator<'e> {
    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rfind(|l| l.name == name)
    }

    fn path(&self, expr: &Expr) -> Vec<SmolStr> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.known.get(&expr.id) {
            return Some(*size);
        }
        let written = match &expr.kind {
            Kind::Literal(Literal::String(text)) => Some(characters(text)),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(list) => Some(list.elements.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(written) = written {
            return Some(Range::exactly(written as u64));
        }
        if let Some(size) = self.sizes.of(&self.path(expr)) {
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.checked.type_of(expr.id)) {
            return Some(Range::ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn entries(&self, expr: &Expr) -> Option<Entries> {
        if let Some(entries) = self.entries.get(&expr.id) {
            return Some(*entries);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.entries,
            _ => None,
        }
    }

    fn node(&mut self, expr: &'e Expr) -> Node<'e> {
        let mut path = self.path(expr);
        if path
            .first()
            .is_some_and(|p| p == ACCUMULATOR || p == "__result__")
        {
            path.clear();
        }
        Node {
            expr: Some(expr),
            type_: self.checked.type_of(expr.id).clone(),
            size: self.size(expr),
            path,
        }
    }

    fn cost(&mut self, expr: &'e Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) | Kind::Broken => Range::ZERO,
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.strip_prefix('.').unwrap_or(name).into()],
                };
                self.paths.insert(expr.id, path);
                Range::ONE
            }
            Kind::Select(select) => self.select(expr, select),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(list) => self.list(expr, list),
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Struct(message) => {
                let fields = message.fields.iter();
                let sum = fields.fold(Range::ZERO, |sum, field| sum.plus(self.cost(&field.value)));
                sum.plus(Range::exactly(NEW_OBJECT))
            }
            Kind::Comprehension(c) if c.is_binding() => self.binding(expr, c),
            Kind::Comprehension(c) => self.comprehension(expr, c),
        }
    }

    fn select(&mut self, expr: &'e Expr, select: &'e Select) -> Range {
        // A variable whose name has dots.
        if let Some(Reference::Variable(name) | Reference::Type(name)) = self.checked.reference(expr.id) {
            self.paths.insert(expr.id, vec![name.clone()]);
            return Range::ONE;
        }
        let cost = self.cost(&select.operand);
        if select.test {
            return cost;
        }
        let mut path = self.path(&select.operand);
        path.push(select.field.clone());
        self.paths.insert(expr.id, path);
        match self.checked.type_of(select.operand.id) {
            Type::Map(_) | Type::Object(_) | Type::Param(_) | Type::Var(_) => cost.plus(Range::ONE),
            _ => cost,
        }
    }

    fn call(&mut self, expr: &'e Expr, call: &'e ast::Call) -> Range {
        if call.function == "dyn"
            && let Some(arg) = call.args.first()
        {
            let cost = self.cost(arg);
            self.copy_sizes(expr, arg);
            return cost.plus(Range::ONE);
        }
        let mut costs = Vec::with_capacity(call.args.len());
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            costs.push(self.cost(arg));
            args.push(self.node(arg));
        }
        let (overloads, qualified) = match self.checked.reference(expr.id) {
            Some(Reference::Function {
                overloads, qualified, ..
            }) => (overloads.as_slice(), *qualified),
            Some(Reference::OptionalSelect) => {
                let sum = costs.iter().fold(Range::ONE, |sum, cost| sum.plus(*cost));
                if let Some(size) = self.size(expr) {
                    self.known.insert(expr.id, size);
                }
                return sum;
            }
            _ => return Range::ZERO,
        };
        let mut before = Range::ZERO;
        let target = match &call.target {
            Some(target) if !qualified => {
                before = self.cost(target);
                Some(self.node(target))
            }
            _ => None,
        };
        let described = Call {
            target,
            args,
            sizes: self.sizes,
        };
        let sum = costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
        let mut total = Range::new(u64::MAX, 0);
        let mut result: Option<Range> = None;
        for overload in overloads {
            let estimate = match (call.function.as_str(), costs.as_slice()) {
                (op::AND | op::OR, [left, right]) => {
                    Estimate::of(Range::new(left.min, left.plus(*right).max))
                }
                (op::CONDITIONAL, [condition, yes, no]) => {
                    self.branches(expr, &call.args);
                    let size = described.known(1).union(described.known(2));
                    Estimate::sized(condition.plus(yes.union(*no)), size)
                }
                _ => {
                    if matches!(overload.id.as_str(), "add_string" | "add_bytes" | "add_list") {
                        self.joined(expr, &call.args);
                    }
                    let estimate = (overload.cost.estimated)(&described);
                    Estimate {
                        cost: estimate.cost.plus(sum),
                        ..estimate
                    }
                }
            };
            total = total.union(estimate.cost);
            result = match (result, estimate.result) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (a, b) => a.or(b),
            };
            if let ("index_list" | "index_map", Some(operand)) = (overload.id.as_str(), call.args.first()) {
                result = self.entries(operand).map(|e| e.value);
                let mut path = self.path(operand);
                path.push(
                    if overload.id == "index_list" {
                        "@items"
                    } else {
                        "@values"
                    }
                    .into(),
                );
                self.paths.insert(expr.id, path);
            }
            if result.is_none() {
                result = self.size(expr);
            }
        }
        if let Some(size) = result {
            self.known.insert(expr.id, size);
        }
        before.plus(total)
    }

    fn branches(&mut self, expr: &Expr, args: &[Expr]) {
        if let [_, yes, no] = args
            && let (Some(yes), Some(no)) = (self.entries(yes), self.entries(no))
        {
            self.entries.insert(expr.id, yes.union(no));
        }
    }

    fn joined(&mut self, expr: &Expr, args: &[Expr]) {
        if let [a, b] = args
            && let (Some(a), Some(b)) = (self.entries(a), self.entries(b))
        {
            self.entries.insert(expr.id, a.union(b));
        }
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.known.insert(to.id, size);
        }
        if let Some(entries) = self.entries(from) {
            self.entries.insert(to.id, entries);
        }
    }

    fn list(&mut self, expr: &Expr, list: &'e List) -> Range {
        let mut cost = Range::exactly(NEW_LIST);
        let mut item = match list.elements.is_empty() {
            true => Range::ZERO,
            false => Range::new(u64::MAX, 0),
        };
        for element in &list.elements {
            cost = cost.plus(self.cost(element));
            item = item.union(self.size_or_unknown(element));
        }
        let entries = Entries {
            is_list: true,
            key: Range::ONE,
            value: item,
        };
        self.entries.insert(expr.id, entries);
        cost
    }

    fn map(&mut self, expr: &Expr, map: &'e [Entry]) -> Range {
        let mut cost = Range::exactly(NEW_MAP);
        let none = match map.is_empty() {
            true => Range::ZERO,
            false => Range::new(u64::MAX, 0),
        };
        let (mut key, mut value) = (none, none);
        for entry in map {
            cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            key = key.union(self.size_or_unknown(&entry.key));
            value = value.union(self.size_or_unknown(&entry.value));
        }
        let entries = Entries {
            is_list: false,
            key,
            value,
        };
        self.entries.insert(expr.id, entries);
        cost
    }

    fn push(&mut self, name: &SmolStr, value: &Expr) {
        let local = Local {
            name: name.clone(),
            path: self.path(value),
            entries: self.entries(value),
            size: self.size(value),
        };
        self.locals.push(local);
    }

    fn push_iteration(&mut self, name: &SmolStr, range: &Expr, key: bool) {
        let entries = self.entries(range);
        let is_list = match entries {
            Some(entries) => entries.is_list,
            None => matches!(self.checked.type_of(range.id), Type::List(_)),
        };
        let mut path = self.path(range);
        path.push(
            match (key, is_list) {
                (true, true) => "@indices",
                (true, false) => "@keys",
                (false, true) => "@items",
                (false, false) => "@values",
            }
            .into(),
        );
        self.locals.push(Local {
            name: name.clone(),
            path,
            size: entries.map(|e| if key { e.key } else { e.value }),
            entries: None,
        });
    }

    fn comprehension(&mut self, expr: &'e Expr, c: &'e Comprehension) -> Range {
        let mut sum = self.cost(&c.range).plus(self.cost(&c.initial));
        let outer = self.locals.len();
        self.push(&c.accumulator, &c.initial);
        match &c.second {
            Some(second) => {
                self.push_iteration(&c.variable, &c.range, true);
                self.push_iteration(second, &c.range, false);
            }
            None => {
                // The one variable is a list's item, or a map's key.
                let is_list = match self.entries(&c.range) {
                    Some(entries) => entries.is_list,
                    None => matches!(self.checked.type_of(c.range.id), Type::List(_)),
                };
                self.push_iteration(&c.variable, &c.range, !is_list);
            }
        }
        let each = self.cost(&c.condition).plus(self.cost(&c.step));
        self.locals.truncate(outer + 1);
        sum = sum.plus(self.cost(&c.result));
        self.locals.truncate(outer);
        let rounds = self.size_or_unknown(&c.range);
        match &c.initial.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&c.initial) {
                    self.known.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.known.insert(expr.id, rounds);
                if let Some(entries) = self.entries(&c.step) {
                    self.entries.insert(expr.id, entries);
                }
            }
            _ => {}
        }
        sum.plus(rounds.times(each))
    }

    fn binding(&mut self, expr: &Expr, c: &'e Comprehension) -> Range {
        let sum = self.cost(&c.range).plus(self.cost(&c.initial));
        self.push(&c.accumulator, &c.initial);
        let sum = sum.plus(self.cost(&c.result));
        self.locals.pop();
        self.copy_sizes(expr, &c.result);
        sum
    }
}

/// Whether all values of a type are of one size.
fn is_scalar(type_: &Type) -> bool {
    match type_ {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        _ => type_.unwrap_optional().is_some_and(is_scalar),
    }
}
