//! What the schema says about a value, as far as field management is concerned.

use super::element::{PathElement, Scalar};
use crate::schema::{self, Field, Message, Schema, Type};
use crate::structural::{Structural, is_meta};
use serde_json::Value;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// How a value is divided into fields.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    /// An object with declared fields.
    Struct(&'static Message),
    /// An object with free keys.
    Map(&'static Type),
    /// A list whose items are told apart by keys.
    Keyed(&'static Type, &'static [&'static str]),
    /// An object of a custom resource.
    Open(&'a Structural),
    /// A list of a custom resource, whose items are told apart by keys.
    OpenKeyed(&'a Structural),
    /// A list of distinct plain values.
    Set,
    /// A plain value, or an object or list that is taken as one.
    Leaf,
    /// What the value looks like: objects are divided by their keys, all else is taken as one.
    Deduced,
    /// A whole object of a kind without a schema: its metadata is known, the rest is deduced.
    Bare,
}

impl<'a> Shape<'a> {
    /// The shape of whole objects.
    pub fn root(schema: Option<Schema<'a>>) -> Self {
        match schema {
            Some(Schema::Table(message)) => Shape::Struct(message),
            Some(Schema::Structural(schema)) => Shape::of_structural(schema),
            None => Shape::Bare,
        }
    }

    fn of_structural(schema: &'a Structural) -> Self {
        match (schema.type_.as_str(), schema.list_type.as_str()) {
            ("object", _) if schema.atomic => Shape::Leaf,
            ("object", _) => Shape::Open(schema),
            ("array", "map") => Shape::OpenKeyed(schema),
            ("array", "set") => Shape::Set,
            ("", _) if !schema.int_or_string => Shape::Deduced,
            _ => Shape::Leaf,
        }
    }

    fn of_message(name: &str) -> Self {
        match schema::message(name) {
            Some(m) if m.atomic => Shape::Leaf,
            Some(m) => Shape::Struct(m),
            None => Shape::Deduced,
        }
    }

    fn of_type(type_: &'static Type) -> Self {
        match type_ {
            Type::Message(name) => Shape::of_message(name),
            Type::Map(item) => Shape::Map(item),
            // Only a field can say that a list is divided.
            Type::List(_) => Shape::Leaf,
            // What the tables do not describe is one value, as in upstream's typed conversion.
            _ => Shape::Leaf,
        }
    }

    /// The shape of a declared field.
    pub fn of_field(field: &'static Field) -> Self {
        match (&field.type_, field.list_type, field.map_type) {
            (Type::List(item), "map", _) => Shape::Keyed(item, &field.list_map_keys),
            (Type::List(_), "set", _) => Shape::Set,
            (Type::Map(_) | Type::Message(_), _, "atomic") => Shape::Leaf,
            (Type::Message(name), _, "granular") => {
                schema::message(name).map_or(Shape::Deduced, Shape::Struct)
            }
            (type_, _, _) => Shape::of_type(type_),
        }
    }

    /// Whether the object declares a field under this name.
    pub fn declares(self, name: &str) -> bool {
        match self {
            Shape::Struct(m) => m.field(name).is_some(),
            Shape::Open(schema) => schema.properties.contains_key(name) || (schema.embedded && is_meta(name)),
            _ => false,
        }
    }

    /// The field that a table declares under this name, if this is an object with a table.
    pub fn declared(self, name: &str) -> Option<&'static Field> {
        match self {
            Shape::Struct(m) => m.field(name),
            _ => None,
        }
    }

    /// The shape of a field or map value.
    pub fn child(self, name: &str) -> Self {
        match self {
            Shape::Struct(m) => m.field(name).map_or(Shape::Deduced, Shape::of_field),
            Shape::Map(item) => Shape::of_type(item),
            Shape::Open(schema) if schema.embedded && is_meta(name) => match name {
                "metadata" => Shape::of_message(OBJECT_META),
                _ => Shape::Leaf,
            },
            Shape::Open(schema) => schema.child(name).map_or(Shape::Deduced, Shape::of_structural),
            Shape::Bare if name == "metadata" => Shape::of_message(OBJECT_META),
            Shape::Bare | Shape::Deduced => Shape::Deduced,
            Shape::Keyed(..) | Shape::OpenKeyed(_) | Shape::Set | Shape::Leaf => Shape::Leaf,
        }
    }

    /// The shape of a list's items.
    pub fn item(self) -> Self {
        match self {
            Shape::Keyed(item, _) => Shape::of_type(item),
            Shape::OpenKeyed(list) => list.items.as_deref().map_or(Shape::Deduced, Shape::of_structural),
            _ => Shape::Leaf,
        }
    }

    /// The shape of what stands at an element.
    pub fn at(self, element: &PathElement) -> Self {
        match element {
            PathElement::Field(name) => self.child(name),
            _ => self.item(),
        }
    }

    /// Whether values of this shape are objects that are divided.
    pub fn is_object(self) -> bool {
        matches!(
            self,
            Shape::Struct(_) | Shape::Map(_) | Shape::Open(_) | Shape::Deduced | Shape::Bare
        )
    }

    /// Whether values of this shape are lists that are divided.
    pub fn is_list(self) -> bool {
        matches!(self, Shape::Keyed(..) | Shape::OpenKeyed(_) | Shape::Set)
    }

    /// The element that names an item of a divided list.
    ///
    /// # Errors
    ///
    /// Why the item cannot be named, in upstream's words.
    pub fn element_of(self, item: &Value) -> Result<PathElement, String> {
        let keys = self.keys();
        if keys.is_empty() {
            return match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                plain => Ok(PathElement::Value(Scalar(plain.clone()))),
            };
        }
        let map = match item {
            Value::Object(map) => map,
            Value::Null => return Err("associative list with keys may not have a null element".into()),
            _ => return Err("associative list with keys may not have non-map elements".into()),
        };
        let mut found = Vec::with_capacity(keys.len());
        for key in &keys {
            let own = map.get(*key).cloned();
            if let Some(value) = own.or_else(|| self.default_of_key(key)) {
                found.push(((*key).into(), Scalar(value)));
            }
        }
        if found.is_empty() {
            let keys: Vec<String> = keys.iter().map(|k| format!("{k:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                 default values for any key fields)",
                keys.join(" ")
            ));
        }
        found.sort();
        Ok(PathElement::Key(found))
    }

    /// The keys of a list that is divided by them; none for other shapes.
    fn keys(self) -> Vec<&'a str> {
        match self {
            Shape::Keyed(_, keys) => keys.to_vec(),
            Shape::OpenKeyed(list) => list.list_map_keys.iter().map(|k| k.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    fn default_of_key(self, key: &str) -> Option<Value> {
        match self {
            Shape::Keyed(Type::Message(name), _) => schema::message(name)?.field(key)?.default(),
            Shape::OpenKeyed(list) => list.items.as_ref()?.properties.get(key)?.default.clone(),
            _ => None,
        }
    }
}
