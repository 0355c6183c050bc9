//! What Go calls a field and its type, which upstream's error texts name.

use super::{Field, Message, Type};
use std::borrow::Cow;

/// What is special about a field in Go.
#[derive(Debug, Default)]
pub(super) struct Go {
    name: &'static str,
    type_: &'static str,
    embedded: &'static str,
    inside: Inside,
}

/// How upstream's internal type has a field of a versioned one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inside {
    /// As the versioned one.
    #[default]
    Same,
    /// As a value where the versioned type has a pointer.
    Plain,
    /// Not at all.
    Nowhere,
    /// Within the struct that this field holds.
    Under(&'static str),
}

impl Go {
    pub(super) fn parse(attributes: &[&'static str]) -> Option<Self> {
        let mut go = Go::default();
        let mut any = false;
        for attribute in attributes {
            match attribute.split_once('=') {
                Some(("go", v)) => go.name = v,
                Some(("type", v)) => go.type_ = v,
                Some(("in", v)) => go.embedded = v,
                Some(("inner", v)) => go.inside = Inside::Under(v),
                None if *attribute == "plain" => go.inside = Inside::Plain,
                None if *attribute == "outer" => go.inside = Inside::Nowhere,
                _ => continue,
            }
            any = true;
        }
        any.then_some(go)
    }
}

impl Field {
    /// Its name in Go: the JSON name with a capital letter, unless the table says otherwise.
    pub fn go_name(&self) -> Cow<'static, str> {
        match &self.go {
            Some(go) if !go.name.is_empty() => go.name.into(),
            _ => {
                let mut rest = self.name.chars();
                let first = rest.next().map(|c| c.to_ascii_uppercase());
                first.into_iter().chain(rest).collect::<String>().into()
            }
        }
    }

    /// The structs that Go embeds on the way to it, joined by dots; empty for none.
    pub fn embedded(&self) -> &'static str {
        self.go.as_ref().map_or("", |go| go.embedded)
    }

    /// How the internal type has it.
    pub fn inside(&self) -> Inside {
        self.go.as_ref().map_or(Inside::Same, |go| go.inside)
    }

    /// Its type in Go when that has a name of its own; empty if not.
    pub(super) fn go_type(&self) -> &'static str {
        self.go.as_ref().map_or("", |go| go.type_)
    }
}

impl Message {
    /// Whether it is of those types that are the same inside and outside, JSON names included.
    pub fn is_meta(&self) -> bool {
        self.name.starts_with("io.k8s.apimachinery.")
    }
}

/// The type's name in Go; `named` is what the table says of it.
pub(super) fn type_name(type_: &Type, named: &'static str) -> Cow<'static, str> {
    if !named.is_empty() {
        return named.into();
    }
    match type_ {
        // What these are decoded from, if not a type of their own.
        Type::String | Type::Time | Type::MicroTime => "string".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Int32 | Type::IntOrString => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Bool => "bool".into(),
        Type::Double => "float64".into(),
        Type::Any => "interface {}".into(),
        Type::Message(name) | Type::Either(name) => {
            let mut parts = name.rsplit('.');
            let kind = parts.next().unwrap_or_default();
            format!("{}.{kind}", parts.next().unwrap_or_default()).into()
        }
        Type::List(item) => format!("[]{}", type_name(item, "")).into(),
        Type::Map(item) => format!("map[string]{}", type_name(item, "")).into(),
    }
}

/// The name of an item's type, if that of the list or map holds it.
pub(super) fn item_name(named: &'static str) -> &'static str {
    match named.strip_prefix("map[") {
        Some(rest) => rest.split_once(']').map_or("", |(_, item)| item),
        None => named.strip_prefix("[]").unwrap_or(""),
    }
}
