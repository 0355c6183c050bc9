//! An expression made ready to be evaluated: names are places, calls are functions, constants are values.

use crate::ast::{Call, Comprehension, Expr, Kind, Literal, operators as op};
use crate::checker::{Checked, Reference};
use crate::env::Env;
use crate::library::{Function, LIBRARY, Overload, Prepared, mutation};
use crate::value::{Key, List, Text, Value, equal};
use crate::{escape, eval, library};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A step of an evaluation.
pub(crate) enum Node {
    Const(Value<'static>),
    Attribute(Box<Attribute>),
    Call(Box<Invocation>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    List(Box<[(Node, bool)]>),
    Map(Box<[(Node, Node, bool)]>),
    Make(Box<Make>),
    Fold(Box<Fold>),
    /// `x in [constants]`.
    Member(Box<(Node, BTreeSet<Key<'static>>)>),
    /// The first of two optional values that is there.
    OrOptional(Box<[Node; 2]>),
    /// An optional value, or another.
    OrValue(Box<[Node; 2]>),
    /// The accumulator grows: nothing else needs it as it was.
    Grow(Box<Grow>),
}

/// A value and what is selected of it.
pub(crate) struct Attribute {
    pub(crate) root: Root,
    pub(crate) steps: Vec<Step>,
    /// Asks whether the last step leads anywhere.
    pub(crate) test: bool,
}

pub(crate) enum Root {
    /// The value of a variable.
    Slot(usize),
    /// The value of an expression.
    Node(Node),
    /// One of two values.
    Conditional(Node, Box<[Node; 2]>),
}

pub(crate) struct Step {
    pub(crate) index: Index,
    pub(crate) optional: bool,
}

pub(crate) enum Index {
    /// A field or a key that is known.
    Field(Field),
    /// Another constant.
    Const(Value<'static>),
    /// The value of an expression.
    Node(Node),
}

pub(crate) struct Field {
    /// As it is written.
    pub(crate) ident: Value<'static>,
    pub(crate) text: Arc<str>,
    /// As it is in JSON; none if it can be no field's name.
    pub(crate) name: Option<String>,
}

/// An object of a type, with some of its fields.
pub(crate) struct Make {
    pub(crate) type_: SmolStr,
    pub(crate) fields: Box<[(SmolStr, Node, bool)]>,
}

/// A call of a function.
pub(crate) struct Invocation {
    pub(crate) function: &'static Function,
    /// None if it depends on the arguments.
    pub(crate) overload: Option<&'static Overload>,
    pub(crate) prepared: Option<Prepared>,
    pub(crate) args: Box<[Node]>,
    pub(crate) cost: library::Counted,
}

/// A call of `+` or of the insertion into a map, whose first argument is the accumulator.
pub(crate) struct Grow {
    pub(crate) accumulator: usize,
    pub(crate) rest: Box<[Node]>,
    pub(crate) invocation: Invocation,
}

pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) initial: Node,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
    pub(crate) accumulator: usize,
    pub(crate) variable: usize,
    pub(crate) second: Option<usize>,
}

/// A plan and how many places it needs for variables.
pub(crate) struct Plan {
    pub(crate) root: Node,
    /// The variables of the environment; they come first.
    pub(crate) variables: Vec<SmolStr>,
    pub(crate) slots: usize,
}

type Planned<R = Node> = Result<R, String>;

pub(crate) fn plan(root: &Expr, checked: &Checked, env: &Env) -> Planned<Plan> {
    let mut planner = Planner {
        checked,
        env,
        locals: Vec::new(),
        slots: env.names().count(),
    };
    let root = planner.node(root)?;
    Ok(Plan {
        root,
        variables: env.names().cloned().collect(),
        slots: planner.slots,
    })
}

struct Planner<'p> {
    checked: &'p Checked,
    env: &'p Env,
    /// The variables of the loops around.
    locals: Vec<Local>,
    /// Each variable has a place of its own, for accumulators are computed when they are first looked at.
    slots: usize,
}

struct Local {
    name: SmolStr,
    slot: usize,
    /// Iteration variables cannot be seen from the loop's result.
    hidden: bool,
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Planned {
        match &expr.kind {
            Kind::Literal(literal) => Ok(Node::Const(constant(literal))),
            Kind::Ident(_) => self.name(expr),
            Kind::Select(select) => {
                if self.checked.reference(expr.id).is_some() {
                    return self.name(expr);
                }
                let operand = self.node(&select.operand)?;
                let step = Step {
                    index: Index::Field(field(&select.field)),
                    optional: false,
                };
                let mut attribute = attribute(operand);
                attribute.steps.push(step);
                attribute.test = select.test;
                Ok(Node::Attribute(attribute.into()))
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(list) => {
                let mut elements = Vec::with_capacity(list.elements.len());
                for (i, element) in list.elements.iter().enumerate() {
                    elements.push((self.node(element)?, list.optional.contains(&i)));
                }
                Ok(fold_constant(
                    elements.iter().all(|(n, optional)| is_const(n) && !optional),
                    Node::List(elements.into()),
                ))
            }
            Kind::Map(entries) => {
                let mut planned = Vec::with_capacity(entries.len());
                for entry in entries {
                    planned.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
                }
                let constant = planned
                    .iter()
                    .all(|(k, v, optional)| is_const(k) && is_const(v) && !optional);
                Ok(fold_constant(constant, Node::Map(planned.into())))
            }
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
            Kind::Struct(message) => {
                let Some(Reference::Type(type_)) = self.checked.reference(expr.id) else {
                    return Err(format!("unknown type: {}", message.name));
                };
                let mut fields = Vec::with_capacity(message.fields.len());
                for field in &message.fields {
                    fields.push((field.name.clone(), self.node(&field.value)?, field.optional));
                }
                let fields = fields.into();
                Ok(Node::Make(Box::new(Make {
                    type_: type_.clone(),
                    fields,
                })))
            }
            Kind::Broken => Err("unsupported expr".into()),
        }
    }

    fn name(&mut self, expr: &Expr) -> Planned {
        match self.checked.reference(expr.id) {
            Some(Reference::Type(name)) => match LIBRARY
                .type_named(name)
                .cloned()
                .or_else(|| mutation::type_named(name))
            {
                Some(_) => Ok(Node::Const(Value::Type(name.clone()))),
                None => Err(format!("reference to undefined type: {name}")),
            },
            Some(Reference::Variable(name)) => {
                let slot = self
                    .slot(name)
                    .ok_or_else(|| format!("no such attribute(s): {name}"))?;
                Ok(Node::Attribute(Box::new(Attribute {
                    root: Root::Slot(slot),
                    steps: Vec::new(),
                    test: false,
                })))
            }
            _ => Err("unsupported expr".into()),
        }
    }

    fn slot(&self, name: &str) -> Option<usize> {
        let local = self.locals.iter().rfind(|l| l.name == name && !l.hidden);
        local.map(|l| l.slot).or_else(|| self.env.slot(name))
    }

    fn call(&mut self, expr: &Expr, call: &Call) -> Planned {
        let Some(reference) = self.checked.reference(expr.id) else {
            return Err(format!("no such overload: {}", call.function));
        };
        if matches!(reference, Reference::OptionalSelect) {
            return self.index(&call.args, true);
        }
        let Reference::Function {
            function,
            overloads,
            qualified,
        } = reference
        else {
            return Err("unsupported expr".into());
        };
        match function.name {
            op::INDEX => return self.index(&call.args, false),
            op::OPTIONAL_INDEX => return self.index(&call.args, true),
            _ => {}
        }
        let target = call.target.iter().filter(|_| !qualified);
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in target.chain(&call.args) {
            args.push(self.node(arg)?);
        }
        let overload = match overloads.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let is = |name: &str, id: &str| function.name == name && overload.is_none_or(|o| o.id == id);
        match (function.name, args.len()) {
            (op::AND, 2) => return Ok(Node::And(pair(args))),
            (op::OR, 2) => return Ok(Node::Or(pair(args))),
            (op::CONDITIONAL, 3) => {
                let [a, b, c] =
                    <[Node; 3]>::try_from(args).unwrap_or_else(|_| unreachable!("the length is checked"));
                return Ok(Node::Conditional([a, b, c].into()));
            }
            (_, 2) if is("or", "optional_or_optional") => return Ok(Node::OrOptional(pair(args))),
            (_, 2) if is("orValue", "optional_orValue_value") => return Ok(Node::OrValue(pair(args))),
            (op::IN, 2) if overload.is_some_and(|o| o.id == "in_list") => match members(&args[1]) {
                Some(members) if members.is_empty() => return Ok(Node::Const(Value::Bool(false))),
                Some(members) => return Ok(Node::Member(Box::new((args.swap_remove(0), members)))),
                None => {}
            },
            _ => {}
        }
        let mut invocation = Invocation {
            function,
            overload,
            prepared: None,
            cost: library::counted(overloads),
            args: args.into(),
        };
        let prepare = overloads.first().and_then(|o| o.prepare);
        if let (Some(prepare), Some(Node::Const(Value::String(text)))) = (prepare, invocation.args.get(1)) {
            invocation.prepared = Some(prepare(text)?);
        }
        if library::is_conversion(function.name) && matches!(*invocation.args, [Node::Const(_)]) {
            return eval::constant(&Node::Call(invocation.into()))
                .map(Node::Const)
                .map_err(|e| e.to_string());
        }
        Ok(self.grow(call, invocation))
    }

    /// Adding to the accumulator needs no copy of it.
    fn grow(&self, call: &Call, mut invocation: Invocation) -> Node {
        let slot = match call.args.as_slice() {
            [
                Expr {
                    kind: Kind::Ident(name),
                    ..
                },
                ..,
            ] if name == crate::macros::ACCUMULATOR => self.slot(name),
            _ => None,
        };
        match (slot, call.function.as_str()) {
            (Some(accumulator), op::ADD | op::MAP_INSERT) => {
                let mut rest = std::mem::take(&mut invocation.args).into_vec();
                rest.remove(0);
                Node::Grow(Box::new(Grow {
                    accumulator,
                    rest: rest.into(),
                    invocation,
                }))
            }
            _ => Node::Call(invocation.into()),
        }
    }

    fn index(&mut self, args: &[Expr], optional: bool) -> Planned {
        let [operand, index] = args else {
            return Err("unsupported expr".into());
        };
        let operand = self.node(operand)?;
        let index = match self.node(index)? {
            Node::Const(Value::String(text)) => Index::Field(field(&text)),
            Node::Const(value) => {
                value.check_index().map_err(|e| e.to_string())?;
                Index::Const(value)
            }
            node => Index::Node(node),
        };
        let mut attribute = attribute(operand);
        attribute.steps.push(Step { index, optional });
        Ok(Node::Attribute(attribute.into()))
    }

    fn comprehension(&mut self, c: &Comprehension) -> Planned {
        let initial = self.node(&c.initial)?;
        let range = self.node(&c.range)?;
        let outer = self.locals.len();
        let accumulator = self.local(&c.accumulator);
        let variable = self.local(&c.variable);
        let second = c.second.as_ref().map(|name| self.local(name));
        let condition = self.node(&c.condition)?;
        let step = self.node(&c.step)?;
        self.locals[outer + 1..].iter_mut().for_each(|l| l.hidden = true);
        let result = self.node(&c.result)?;
        self.locals.truncate(outer);
        Ok(Node::Fold(Box::new(Fold {
            range,
            initial,
            condition,
            step,
            result,
            accumulator,
            variable,
            second,
        })))
    }

    fn local(&mut self, name: &SmolStr) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.locals.push(Local {
            name: name.clone(),
            slot,
            hidden: false,
        });
        slot
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(i) => Value::Int(*i),
        Literal::Uint(u) => Value::Uint(*u),
        Literal::Double(d) => Value::Double(*d),
        Literal::String(text) => Value::String(Text::Owned(text.as_str().into())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.as_slice().into()),
    }
}

fn is_const(node: &Node) -> bool {
    matches!(node, Node::Const(_))
}

/// What is made of constants alone is made once. Errors are left to the evaluation.
fn fold_constant(constant: bool, node: Node) -> Node {
    match constant.then(|| eval::constant(&node)) {
        Some(Ok(value)) => Node::Const(value),
        _ => node,
    }
}

fn pair(args: Vec<Node>) -> Box<[Node; 2]> {
    Box::new(<[Node; 2]>::try_from(args).unwrap_or_else(|_| unreachable!("the length is checked")))
}

/// The operand itself if it is an attribute to which steps can be added.
fn attribute(operand: Node) -> Attribute {
    let root = match operand {
        Node::Attribute(attribute) if !attribute.test => return *attribute,
        Node::Conditional(parts) => {
            let [condition, yes, no] = *parts;
            Root::Conditional(condition, Box::new([yes, no]))
        }
        node => Root::Node(node),
    };
    Attribute {
        root,
        steps: Vec::new(),
        test: false,
    }
}

fn field(ident: &str) -> Field {
    Field {
        ident: Value::from(ident),
        text: ident.into(),
        name: escape::unescape(ident),
    }
}

/// The elements of a constant list that values can be looked up in: they are all numbers, texts or truth values.
fn members(list: &Node) -> Option<BTreeSet<Key<'static>>> {
    let Node::Const(Value::List(List::Owned(items, _))) = list else {
        return None;
    };
    let mut found = BTreeSet::new();
    for item in items.iter() {
        if matches!(item, Value::Bytes(_)) {
            return None;
        }
        found.insert(Key::of(item).ok()?);
        found.extend(equal::other_numbers(item));
        if let Value::Int(i) = item {
            found.insert(Key::Double(*i as f64));
        }
        if let Value::Uint(u) = item {
            found.insert(Key::Double(*u as f64));
        }
    }
    Some(found)
}
