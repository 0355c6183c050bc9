//! Functions. Each library is a file, and each signature of a function one entry in it: how it is declared, what it does
//! and what it costs.

mod address;
mod arithmetic;
mod authorization;
mod cidr;
mod comparison;
mod conversion;
mod format;
mod ip;
mod kubernetes_lists;
mod lists;
mod logic;
pub(crate) mod mutation;
mod optional;
mod quantity;
mod regex;
mod semver;
mod sets;
mod signature;
mod string_format;
mod strings;
mod text;
mod time;
mod two_variables;
mod url;
mod zone;

pub use authorization::{Authorize, Authorizer, Decision, Question};
pub(crate) use conversion::is_conversion;
pub use mutation::Made;
pub(crate) use string_format::check as check_format;
pub(crate) use two_variables::insert;

use crate::cost::{Rule, rules};
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::Value;
use smol_str::SmolStr;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a function does.
pub(crate) type Eval = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>>;

/// What a function does that has been prepared for an argument that never changes.
pub(crate) type Prepared = Box<dyn for<'a> Fn(&[Value<'a>]) -> Result<Value<'a>> + Send + Sync>;

/// What a call did cost.
pub(crate) type Counted = fn(&[Value<'_>], Option<&Value<'_>>) -> u64;

/// Prepares for a constant second argument; an error makes the expression unusable.
pub(crate) type Prepare = fn(&str) -> std::result::Result<Prepared, String>;

/// These look at their arguments themselves, and so do all operators.
const UNGUARDED: [&str; 9] = [
    "contains",
    "dyn",
    "endsWith",
    "flatten",
    "matches",
    "size",
    "sort",
    "startsWith",
    "type",
];

/// A function and its signatures.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
}

/// One signature of a function.
pub(crate) struct Overload {
    pub(crate) id: SmolStr,
    /// Whether it is called on its first argument.
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) eval: Eval,
    pub(crate) cost: Rule,
    /// How to prepare when the second argument is a constant text.
    pub(crate) prepare: Option<Prepare>,
    /// Whether errors are arguments too.
    pub(crate) takes_errors: bool,
    /// Whether the types of arguments are checked before a call. What is not checked looks itself.
    pub(crate) guarded: bool,
}

/// All functions and types that Kubernetes 1.36 gives expressions.
pub(crate) struct Library {
    functions: HashMap<&'static str, Function>,
    types: HashMap<SmolStr, Type>,
}

/// The library; it is the same for all expressions.
pub(crate) static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut library = Library {
        functions: HashMap::new(),
        types: HashMap::new(),
    };
    for register in [
        logic::register,
        comparison::register,
        arithmetic::register,
        conversion::register,
        text::register,
        time::register,
        url::register,
        regex::register,
        kubernetes_lists::register,
        authorization::register,
        optional::register,
        quantity::register,
        strings::register,
        string_format::register,
        sets::register,
        ip::register,
        cidr::register,
        format::register,
        two_variables::register,
        semver::register,
        lists::register,
        mutation::register,
    ] {
        register(&mut library);
    }
    library
});

impl Library {
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name.strip_prefix('.').unwrap_or(name))
    }

    /// The type that a name stands for in expressions.
    pub(crate) fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    fn add_type(&mut self, type_: Type) {
        self.types.insert(type_.runtime_name(), type_);
    }

    /// Adds a signature, written as `(string, list(A)) -> bool`; capital letters stand for any type.
    fn add(&mut self, name: &'static str, id: impl Into<SmolStr>, text: &str, eval: Eval) -> &mut Overload {
        self.add_overload(name, id, text, eval, false)
    }

    /// The same for a function that is called on its first argument.
    fn add_member(
        &mut self,
        name: &'static str,
        id: impl Into<SmolStr>,
        text: &str,
        eval: Eval,
    ) -> &mut Overload {
        self.add_overload(name, id, text, eval, true)
    }

    fn add_overload(
        &mut self,
        name: &'static str,
        id: impl Into<SmolStr>,
        text: &str,
        eval: Eval,
        member: bool,
    ) -> &mut Overload {
        let (args, result) = signature::parse(text);
        let function = self.functions.entry(name).or_insert_with(|| Function {
            name,
            overloads: Vec::new(),
        });
        function.overloads.push(Overload {
            id: id.into(),
            member,
            args,
            result,
            eval,
            cost: rules::ONE,
            prepare: None,
            takes_errors: false,
            guarded: name.starts_with(|c: char| c.is_ascii_alphabetic()) && !UNGUARDED.contains(&name),
        });
        function.overloads.last_mut().expect("one was just added")
    }
}

impl Overload {
    fn cost(&mut self, rule: Rule) -> &mut Self {
        self.cost = rule;
        self
    }

    /// Whether values are of the types that the signature wants.
    pub(crate) fn fits(&self, args: &[Value<'_>]) -> bool {
        self.args.len() == args.len()
            && self
                .args
                .iter()
                .zip(args)
                .all(|(type_, value)| is_of(type_, value))
    }
}

fn is_of(type_: &Type, value: &Value<'_>) -> bool {
    match (type_, value) {
        (Type::Dyn | Type::Param(_), _)
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Uint, Value::Uint(_))
        | (Type::Double, Value::Double(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_))
        | (Type::Duration, Value::Duration(_))
        | (Type::Timestamp, Value::Timestamp(_))
        | (Type::Null, Value::Null)
        | (Type::Type(_), Value::Type(_)) => true,
        (Type::List(item), Value::List(list)) => match list.get(0) {
            Some(Ok(first)) => is_of(item, &first),
            _ => true,
        },
        (Type::Map(entry), Value::Map(map)) => match map.keys().first() {
            Some(key) => {
                let value = map.find(key).ok().flatten();
                is_of(&entry.0, key) && value.is_none_or(|v| is_of(&entry.1, &v))
            }
            None => true,
        },
        (Type::Opaque(..) | Type::Object(_), Value::Object(_) | Value::Optional(_)) => {
            type_.runtime_name() == value.type_name()
        }
        _ => false,
    }
}

/// How a call is counted of which these signatures are possible.
pub(crate) fn counted(overloads: &[&Overload]) -> Counted {
    match overloads {
        [one] => one.cost.counted,
        [first, ..] if first.cost.by_name => first.cost.counted,
        _ => rules::ONE.counted,
    }
}

/// Says that a function does not take these arguments.
pub(crate) fn no_overload<R>(name: &str, args: &[Value<'_>]) -> Result<R> {
    let types: Vec<SmolStr> = args.iter().map(Value::type_name).collect();
    Err(Error::new(format!(
        "no such overload: {name}({})",
        types.join(", ")
    )))
}

/// Says that a value takes no part in an operation. Values that have methods of their own say less.
fn unfit<R>(name: &str, args: &[Value<'_>]) -> Result<R> {
    match args.first() {
        Some(Value::String(_) | Value::Timestamp(_) | Value::Duration(_)) | None => mismatch(),
        Some(_) => Err(Error::new(format!("no such overload: {name}"))),
    }
}

/// For arguments that no signature takes; the type checker lets them pass only where types are not known.
fn mismatch<R>() -> Result<R> {
    Err(Error::NO_OVERLOAD)
}
