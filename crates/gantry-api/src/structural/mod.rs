//! Structural schemas: what a CustomResourceDefinition says of its objects. For custom resources they are what the
//! tables of [`crate::schema`] are for built-in kinds.
//!
//! [`prune`] drops what is not declared, [`default`] fills in, [`validate`] checks values, [`lists`] the keys of lists,
//! [`embedded`] objects within objects. Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema.

pub mod default;
pub mod embedded;
pub mod json_path;
pub mod lists;
pub mod prune;
pub mod validate;

pub use gantry_formats::Pattern;
use gantry_formats::openapi as format;
pub use gantry_formats::openapi::is_known as is_known_format;

use serde_json::Value;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// A node of a schema. Which objects and lists a value may have is in the node itself; `checks` restricts values.
#[derive(Debug, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty for anything.
    pub type_: SmolStr,
    /// Whether null is a value.
    pub nullable: bool,
    /// What an absent value becomes.
    pub default: Option<Value>,
    /// The declared fields of an object.
    pub properties: BTreeMap<SmolStr, Structural>,
    /// What other fields an object may have.
    pub additional: Additional,
    /// The items of a list.
    pub items: Option<Box<Structural>>,
    /// Whether fields that are not declared are kept.
    pub preserve: bool,
    /// Whether the value is a Kubernetes object.
    pub embedded: bool,
    /// Whether the value is an integer or a text.
    pub int_or_string: bool,
    /// `atomic`, `set` or `map`; empty when nothing is said.
    pub list_type: SmolStr,
    /// The keys of a list that is a map.
    pub list_map_keys: Vec<SmolStr>,
    /// Whether an object is taken as one value.
    pub atomic: bool,
    /// What values must obey.
    pub checks: Checks,
}

/// What is said of fields that are not declared.
#[derive(Debug, Default)]
pub enum Additional {
    /// Nothing: they are dropped.
    #[default]
    Unsaid,
    /// None may be there.
    Forbidden,
    /// They may be anything.
    Any,
    /// They are such.
    Like(Box<Structural>),
}

/// Rules for a value.
#[derive(Debug, Default)]
pub struct Checks {
    /// A named format; empty for none, and for those nobody knows.
    pub format: SmolStr,
    /// The largest number.
    pub maximum: Option<f64>,
    /// Whether the largest number is itself too large.
    pub exclusive_maximum: bool,
    /// The smallest number.
    pub minimum: Option<f64>,
    /// Whether the smallest number is itself too small.
    pub exclusive_minimum: bool,
    /// What a number must be a multiple of.
    pub multiple_of: Option<f64>,
    /// The most characters of a text.
    pub max_length: Option<i64>,
    /// The fewest characters of a text.
    pub min_length: Option<i64>,
    /// What a text must match.
    pub pattern: Option<Pattern>,
    /// The most items of a list.
    pub max_items: Option<i64>,
    /// The fewest items of a list.
    pub min_items: Option<i64>,
    /// The most fields of an object.
    pub max_properties: Option<i64>,
    /// The fewest fields of an object.
    pub min_properties: Option<i64>,
    /// The fields that must be there.
    pub required: Vec<SmolStr>,
    /// The values there are; empty for any.
    pub values: Vec<Value>,
    /// All of these must hold.
    pub all_of: Vec<Structural>,
    /// One at least of these must hold.
    pub any_of: Vec<Structural>,
    /// Exactly one of these must hold.
    pub one_of: Vec<Structural>,
    /// This must not hold.
    pub not: Option<Box<Structural>>,
}

impl Structural {
    /// Reads the schema of whole objects from an `openAPIV3Schema`, whose fields have been checked.
    pub fn root(schema: &Value) -> Self {
        Structural {
            embedded: true,
            ..Structural::of(schema)
        }
    }

    /// Reads a schema.
    pub fn of(schema: &Value) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let type_ = text(schema, "type");
        let properties = schema["properties"].as_object().into_iter().flatten();
        Structural {
            nullable: flag("nullable"),
            default: schema.get("default").filter(|d| !d.is_null()).cloned(),
            properties: properties
                .map(|(name, schema)| (name.as_str().into(), Structural::of(schema)))
                .collect(),
            additional: match schema.get("additionalProperties") {
                None | Some(Value::Null) => Additional::Unsaid,
                Some(Value::Bool(false)) => Additional::Forbidden,
                Some(Value::Bool(true)) => Additional::Any,
                Some(schema) => Additional::Like(Box::new(Structural::of(schema))),
            },
            items: schema
                .get("items")
                .filter(|i| i.is_object())
                .map(|items| Box::new(Structural::of(items))),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: text(schema, "x-kubernetes-list-type"),
            list_map_keys: texts(schema, "x-kubernetes-list-map-keys"),
            atomic: text(schema, "x-kubernetes-map-type") == "atomic",
            checks: Checks::of(schema, &type_),
            type_,
        }
    }

    /// The schema of a field, if one is declared or stands for all others.
    pub fn child(&self, name: &str) -> Option<&Structural> {
        self.properties.get(name).or(match &self.additional {
            Additional::Like(schema) => Some(schema),
            _ => None,
        })
    }
}

impl Checks {
    fn of(schema: &Value, type_: &str) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let number = |name: &str| schema[name].as_f64();
        let count = |name: &str| schema[name].as_i64();
        let all = |name: &str| -> Vec<Structural> {
            let schemas = schema[name].as_array().into_iter().flatten();
            schemas.map(Structural::of).collect()
        };
        let format = text(schema, "format");
        let pattern = text(schema, "pattern");
        Checks {
            format: if format::is_known(type_, &format) {
                format
            } else {
                SmolStr::default()
            },
            maximum: number("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: number("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: (!pattern.is_empty()).then(|| Pattern::new(&pattern)),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(schema, "required"),
            values: schema["enum"].as_array().cloned().unwrap_or_default(),
            all_of: all("allOf"),
            any_of: all("anyOf"),
            one_of: all("oneOf"),
            not: schema
                .get("not")
                .filter(|n| n.is_object())
                .map(|not| Box::new(Structural::of(not))),
        }
    }
}

fn text(schema: &Value, name: &str) -> SmolStr {
    schema[name].as_str().unwrap_or("").into()
}

fn texts(schema: &Value, name: &str) -> Vec<SmolStr> {
    let list = schema[name].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(SmolStr::from).collect()
}

/// The fields that every object has.
pub(crate) fn is_meta(field: &str) -> bool {
    matches!(field, "apiVersion" | "kind" | "metadata")
}
