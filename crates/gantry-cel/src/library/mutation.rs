//! What mutations are made of: objects of which only some fields are given, and patches.
//! Source: k8s.io/apiserver/pkg/cel/mutation.

use super::Library;
use crate::error::{Error, Result};
use crate::types::Type;
use crate::value::equal::equal;
use crate::value::{Object, Value};
use smol_str::SmolStr;
use std::any::Any;
use std::collections::BTreeMap;

/// The function that only mutations have.
pub(crate) const ESCAPE_KEY: &str = "jsonpatch.escapeKey";
const PATCH: &str = "JSONPatch";
const OBJECT: &str = "Object";

/// An object that an expression made.
#[derive(Debug)]
pub struct Made {
    type_: SmolStr,
    fields: BTreeMap<SmolStr, Value<'static>>,
}

impl Made {
    /// The type of objects.
    pub fn object() -> Type {
        Type::object(OBJECT)
    }

    /// The type of patches.
    pub fn patch() -> Type {
        Type::object(PATCH)
    }

    /// The fields that were given.
    pub fn fields(&self) -> &BTreeMap<SmolStr, Value<'static>> {
        &self.fields
    }
}

impl Object for Made {
    fn type_name(&self) -> &str {
        &self.type_
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        let other = other.as_any().downcast_ref::<Made>()?;
        let same =
            |(a, b): ((&SmolStr, &Value), (&SmolStr, &Value))| a.0 == b.0 && equal(a.1, b.1).unwrap_or(false);
        Some(
            self.type_ == other.type_
                && self.fields.len() == other.fields.len()
                && self.fields.iter().zip(&other.fields).all(same),
        )
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The type that a name stands for: `Object`, `Object.spec` and so on, or a patch.
pub(crate) fn type_named(name: &str) -> Option<Type> {
    let known = name == PATCH || name == OBJECT || name.starts_with("Object.");
    known.then(|| Type::object(name))
}

/// The type of a field. Objects may have any.
pub(crate) fn field(type_: &str, name: &str) -> Option<Type> {
    match (type_, name) {
        (PATCH, "op" | "path" | "from") => Some(Type::String),
        (PATCH, "value") => Some(Type::Dyn),
        (PATCH, _) => None,
        _ => Some(Type::Dyn),
    }
}

/// Makes an object of its fields.
pub(crate) fn make<'a>(type_: &SmolStr, fields: BTreeMap<SmolStr, Value<'a>>) -> Result<Value<'a>> {
    for (name, value) in &fields {
        if type_ == PATCH && name != "value" && value.as_str().is_none() {
            return Err(Error::new(format!(
                "unexpected type for JSONPatchType '{name}' field"
            )));
        }
    }
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name, value.into_static()));
    Ok(Value::object(Made {
        type_: type_.clone(),
        fields: fields.collect(),
    }))
}

/// The field of a patch, which can be read where objects' cannot.
pub(crate) fn read<'a>(value: &Value<'a>, name: &str) -> Option<Value<'a>> {
    let made = value.as_object::<Made>().filter(|made| made.type_ == PATCH)?;
    match made.fields.get(name) {
        Some(value) => Some(value.clone()),
        None if matches!(name, "op" | "path" | "from") => Some("".into()),
        None => None,
    }
}

pub(super) fn register(library: &mut Library) {
    library.add(
        ESCAPE_KEY,
        "string_jsonpatch_escapeKey_string",
        "(string) -> string",
        |args| match args {
            [Value::String(key)] => Ok(key.replace('~', "~0").replace('/', "~1").into()),
            _ => super::mismatch(),
        },
    );
}
