//! What is declared of data: how JSON is read as values, and how large it may be.

use crate::escape;
use crate::types::{ObjectType, Type};
use smol_str::{SmolStr, ToSmolStr, format_smolstr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The declaration of a piece of data. Made of a schema by [`Decl::of_schema`].
#[derive(Debug)]
pub struct Decl {
    pub(crate) kind: DeclKind,
    /// The name of an object's type; without one it is named after the path to it.
    pub(crate) name: Option<SmolStr>,
    /// Whether null is a value.
    pub(crate) nullable: bool,
    /// The most characters, items or entries; zero for what has none.
    pub(crate) max_elements: u64,
    /// The fewest bytes this takes as JSON.
    pub(crate) min_size: u64,
}

#[derive(Debug)]
pub(crate) enum DeclKind {
    /// Anything, read as JSON says.
    Any,
    IntOrString,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    DateTime,
    List {
        item: Arc<Decl>,
        order: ListOrder,
    },
    /// The values; the keys too, if it is known how long they may be.
    Map(Arc<Decl>, Option<Arc<Decl>>),
    Object(BTreeMap<SmolStr, Arc<Decl>>),
    /// A value of this type, read as JSON says.
    Of(Type),
    /// Nothing is known of it: it has no type, and can only be found equal.
    Preserved,
}

/// What makes two lists equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    /// The same items in the same order.
    Atomic,
    /// The same items.
    Set,
    /// Equal items for the same keys.
    Map(Vec<SmolStr>),
}

/// Any JSON.
pub(crate) static ANY: Decl = Decl::simple(DeclKind::Any, 1);

impl Decl {
    pub(crate) const fn simple(kind: DeclKind, min_size: u64) -> Decl {
        Decl {
            kind,
            name: None,
            nullable: false,
            max_elements: 0,
            min_size,
        }
    }

    /// Data of which nothing is declared: its type is dyn.
    pub fn any() -> Arc<Decl> {
        Arc::new(Decl::simple(DeclKind::Any, 1))
    }

    /// An object with these fields.
    pub fn object(fields: impl IntoIterator<Item = (&'static str, Arc<Decl>)>) -> Arc<Decl> {
        let fields = fields.into_iter().map(|(name, decl)| (name.into(), decl));
        Arc::new(Decl::simple(DeclKind::Object(fields.collect()), 2))
    }

    /// The same with a type called `name`, wherever it stands.
    pub fn named<N: Into<SmolStr>>(
        name: &'static str,
        fields: impl IntoIterator<Item = (N, Arc<Decl>)>,
    ) -> Arc<Decl> {
        let fields = fields.into_iter().map(|(name, decl)| (name.into(), decl));
        Arc::new(Decl {
            name: Some(SmolStr::new_static(name)),
            ..Decl::simple(DeclKind::Object(fields.collect()), 2)
        })
    }

    /// A value of a type, with so many characters or items at most.
    pub fn of_type(type_: Type, most: u64) -> Arc<Decl> {
        Arc::new(Decl {
            max_elements: most,
            ..Decl::simple(DeclKind::Of(type_), 1)
        })
    }

    /// A map of so many entries at most, whose keys are texts.
    pub fn map(keys: Arc<Decl>, values: Arc<Decl>, most: u64) -> Arc<Decl> {
        Arc::new(Decl {
            max_elements: most,
            ..Decl::simple(DeclKind::Map(values, Some(keys)), 2)
        })
    }

    /// The declaration of a field or of the values of a map.
    pub fn child(&self, name: &str) -> Option<&Arc<Decl>> {
        match &self.kind {
            DeclKind::Object(fields) => fields.get(name),
            DeclKind::Map(value, _) => Some(value),
            _ => None,
        }
    }

    /// The declaration of a list's items.
    pub fn item(&self) -> Option<&Arc<Decl>> {
        match &self.kind {
            DeclKind::List { item, .. } => Some(item),
            _ => None,
        }
    }

    /// Whether it has a type: expressions cannot name what has none.
    pub fn has_type(&self) -> bool {
        match &self.kind {
            DeclKind::Preserved => false,
            DeclKind::List { item, .. } => item.has_type(),
            DeclKind::Map(value, _) => value.has_type(),
            _ => true,
        }
    }

    /// How often such data can stand in one request at most.
    pub fn max_cardinality(&self) -> u64 {
        crate::limits::REQUEST_SIZE / (self.min_size + 1)
    }

    /// The field that an identifier names.
    pub(crate) fn field(&self, ident: &str) -> Option<(String, &Arc<Decl>)> {
        let DeclKind::Object(fields) = &self.kind else {
            return None;
        };
        let name = escape::unescape(ident)?;
        let (name, decl) = (fields.get_key_value(name.as_str())).filter(|(_, d)| d.has_type())?;
        let named = escape::is_reserved(ident) || escape::escape(name).as_deref() == Some(ident);
        named.then(|| (name.to_string(), decl))
    }

    /// What a step of a path leads to: a field's identifier, or `@items`, `@values`, `@keys`.
    pub(crate) fn step(&self, step: &str) -> Option<&Decl> {
        static KEY: Decl = Decl::simple(DeclKind::String, 2);
        match (&self.kind, step) {
            (DeclKind::List { item, .. }, "@items" | "@values") => Some(item),
            (DeclKind::Map(value, _), "@items" | "@values") => Some(value),
            (DeclKind::Map(_, keys), "@keys") => Some(keys.as_deref().unwrap_or(&KEY)),
            // What may be anything is as large under every name.
            (DeclKind::Map(value, _), _) if matches!(value.kind, DeclKind::Of(Type::Any)) => Some(value),
            (DeclKind::Object(_), _) if !escape::is_reserved(step) => self.field(step).map(|(_, d)| &**d),
            _ => None,
        }
    }

    pub(crate) fn type_at(self: &Arc<Self>, path: &str) -> Type {
        match &self.kind {
            DeclKind::Any | DeclKind::IntOrString | DeclKind::Preserved => Type::Dyn,
            DeclKind::Bool => Type::Bool,
            DeclKind::Int => Type::Int,
            DeclKind::Double => Type::Double,
            DeclKind::String => Type::String,
            DeclKind::Bytes => Type::Bytes,
            DeclKind::Duration => Type::Duration,
            DeclKind::Date | DeclKind::DateTime => Type::Timestamp,
            DeclKind::List { item, .. } => Type::list(item.type_at(&format_smolstr!("{path}.@idx"))),
            DeclKind::Map(value, _) => {
                Type::map(Type::String, value.type_at(&format_smolstr!("{path}.@elem")))
            }
            DeclKind::Of(type_) => type_.clone(),
            DeclKind::Object(_) => Type::Object(Arc::new(ObjectType {
                name: self.name.clone().unwrap_or_else(|| path.to_smolstr()),
                decl: Some(self.clone()),
            })),
        }
    }
}
