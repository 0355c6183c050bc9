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
    Map(Arc<Decl>),
    Object(BTreeMap<SmolStr, Arc<Decl>>),
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

    /// The declaration of a field or of the values of a map.
    pub fn child(&self, name: &str) -> Option<&Arc<Decl>> {
        match &self.kind {
            DeclKind::Object(fields) => fields.get(name),
            DeclKind::Map(value) => Some(value),
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
            DeclKind::Map(value) => value.has_type(),
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
            (DeclKind::Map(value), "@items" | "@values") => Some(value),
            (DeclKind::Map(_), "@keys") => Some(&KEY),
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
            DeclKind::Map(value) => Type::map(Type::String, value.type_at(&format_smolstr!("{path}.@elem"))),
            DeclKind::Object(_) => Type::Object(Arc::new(ObjectType {
                name: path.to_smolstr(),
                decl: Some(self.clone()),
            })),
        }
    }
}
