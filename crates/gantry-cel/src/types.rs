//! The types of expressions.

use crate::decl::Decl;
use smol_str::{SmolStr, format_smolstr};
use std::fmt;
use std::sync::Arc;

/// The type of an expression or variable. Displayed as error messages show it.
#[derive(Clone, Debug)]
pub enum Type {
    /// What an expression has that is wrong.
    Error,
    /// Known only when evaluated.
    Dyn,
    /// Known only when evaluated; not to be looped over.
    Any,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// `int`.
    Int,
    /// `uint`.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `list(T)`.
    List(Arc<Type>),
    /// `map(K, V)`.
    Map(Arc<(Type, Type)>),
    /// An object with named fields.
    Object(Arc<ObjectType>),
    /// A type of a library, such as `kubernetes.Quantity`, or `optional_type(T)`.
    Opaque(SmolStr, Arc<[Type]>),
    /// The type of a type; of which one, if that is known.
    Type(Option<Arc<Type>>),
    /// A parameter of a function's signature.
    Param(SmolStr),
    /// A parameter that is being found out.
    Var(u32),
}

/// An object type: its name, and its fields by the declaration.
#[derive(Clone, Debug)]
pub struct ObjectType {
    pub(crate) name: SmolStr,
    /// None for library types such as `kubernetes.URL`, whose fields nobody sees.
    pub(crate) decl: Option<Arc<Decl>>,
}

pub(crate) const OPTIONAL: &str = "optional_type";

impl Type {
    /// `list(element)`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// `optional_type(value)`.
    pub fn optional(value: Type) -> Type {
        Type::Opaque(OPTIONAL.into(), [value].into())
    }

    /// The type of declared data. Objects in it are named after the path to them, which begins with `name`.
    pub fn declared(decl: &Arc<Decl>, name: &str) -> Type {
        decl.type_at(name)
    }

    /// An object type of a library.
    pub(crate) fn object(name: &str) -> Type {
        Type::Object(Arc::new(ObjectType {
            name: name.into(),
            decl: None,
        }))
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Any)
    }

    /// What an optional type is optional of.
    pub(crate) fn unwrap_optional(&self) -> Option<&Type> {
        match self {
            Type::Opaque(name, params) if name == OPTIONAL => params.first(),
            _ => None,
        }
    }

    pub(crate) fn params(&self) -> Vec<&Type> {
        match self {
            Type::List(element) => vec![element],
            Type::Map(entry) => vec![&entry.0, &entry.1],
            Type::Opaque(_, params) => params.iter().collect(),
            Type::Type(Some(of)) => vec![of],
            _ => Vec::new(),
        }
    }

    /// Whether two types are the same; `loose` takes any parameters as equal.
    pub(crate) fn same(&self, other: &Type, loose: bool) -> bool {
        let same_name = match (self, other) {
            (Type::Var(a), Type::Var(b)) => return loose || a == b,
            (Type::Param(a), Type::Param(b)) => return loose || a == b,
            (Type::Object(a), Type::Object(b)) => return a.name == b.name,
            (Type::Opaque(a, _), Type::Opaque(b, _)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        };
        let (ours, theirs) = (self.params(), other.params());
        same_name && ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.same(b, loose))
    }

    /// Its name and parameters as programs have them, which is not quite how messages show types.
    pub fn full_name(&self) -> String {
        let params: Vec<String> = self.params().into_iter().map(Type::full_name).collect();
        match params.as_slice() {
            [] => self.runtime_name().into(),
            params => format!("{}({})", self.runtime_name(), params.join(", ")),
        }
    }

    /// The name values of this type give as theirs.
    pub(crate) fn runtime_name(&self) -> SmolStr {
        match self {
            Type::Error => "!error!".into(),
            Type::Dyn => "dyn".into(),
            Type::Any => "google.protobuf.Any".into(),
            Type::Null => "null_type".into(),
            Type::Bool => "bool".into(),
            Type::Int => "int".into(),
            Type::Uint => "uint".into(),
            Type::Double => "double".into(),
            Type::String => "string".into(),
            Type::Bytes => "bytes".into(),
            Type::Duration => "google.protobuf.Duration".into(),
            Type::Timestamp => "google.protobuf.Timestamp".into(),
            Type::List(_) => "list".into(),
            Type::Map(_) => "map".into(),
            Type::Object(object) => object.name.clone(),
            Type::Opaque(name, _) | Type::Param(name) => name.clone(),
            Type::Type(_) => "type".into(),
            Type::Var(n) => format_smolstr!("_var{n}"),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => return f.write_str("any"),
            Type::Null => return f.write_str("null"),
            Type::Duration => return f.write_str("duration"),
            Type::Timestamp => return f.write_str("timestamp"),
            _ => f.write_str(&self.runtime_name())?,
        }
        let params = self.params();
        for (i, param) in params.iter().enumerate() {
            write!(f, "{}{param}", if i == 0 { "(" } else { ", " })?;
        }
        if params.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        self.same(other, false)
    }
}
