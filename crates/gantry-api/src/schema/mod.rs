//! What every field of every kind is: its type, list keys and patch strategy.
//!
//! The tables in `schema/*.schema` are text: `message <name>`, then `atomic` where server-side apply takes the
//! object as one value, then `gvk <group or -> <version> <kind>` lines, then one indented line per field: JSON
//! name, protobuf number (0 if none), type, and attributes. Fields stand in the order in which upstream's internal
//! types declare them. In `enum`, `_` stands for a space. Lines that begin with `#` describe the message or field above them.

mod check;
mod form;
mod go;
mod internal;
mod tables;

pub use check::check;
pub use go::Inside;
pub use internal::Internal;

use crate::apply::EMPTY_OBJECT;
use crate::structural::Structural;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

/// What objects of a kind look like.
#[derive(Clone, Copy, Debug)]
pub enum Schema<'a> {
    /// A built-in kind's table.
    Table(&'static Message),
    /// What a CustomResourceDefinition says.
    Structural(&'a Structural),
}

impl Schema<'_> {
    /// Removes from an object what is not declared; returns one text per unknown field, in upstream's words for strict
    /// decoding.
    ///
    /// # Errors
    ///
    /// A value of the wrong type, in the words of Go's decoder.
    pub fn check(self, object: &mut Value) -> Result<Vec<String>, String> {
        match self {
            Schema::Table(message) => check(message, object),
            Schema::Structural(schema) => check::structural(schema, object),
        }
    }

    /// A value as an error at this path shows it, when it is not simply its JSON.
    pub fn shown(self, path: &str, value: &Value) -> Option<String> {
        match self {
            Schema::Table(message) => internal::shown(message, path, value),
            Schema::Structural(_) => None,
        }
    }

    /// An object that nobody has said anything about yet.
    pub fn empty(self) -> &'static Value {
        match self {
            Schema::Table(message) => message.empty.get_or_init(|| form::empty(message)),
            Schema::Structural(_) => &EMPTY_OBJECT,
        }
    }
}

/// One object type, named as upstream's OpenAPI names it.
#[derive(Debug)]
pub struct Message {
    /// Such as `io.k8s.api.apps.v1.Deployment`.
    pub name: &'static str,
    /// Group, version and kind under which it is a whole object; most messages have none.
    pub gvks: Vec<(&'static str, &'static str, &'static str)>,
    /// Whether server-side apply takes the object as one value.
    pub atomic: bool,
    /// Its fields, in alphabetical order.
    pub fields: Vec<Field>,
    by_number: Vec<u16>,
    declared: Vec<u16>,
    shown: OnceLock<Vec<u16>>,
    empty: OnceLock<Value>,
    docs: &'static str,
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// JSON name.
    pub name: &'static str,
    /// Protobuf numbers from the message down to the field: one, or more where Go embeds a struct that protobuf nests.
    /// Empty when the field has no protobuf form.
    pub path: Vec<u32>,
    /// Whether upstream tells an absent value from a zero one (a pointer in Go).
    pub optional: bool,
    /// Whether upstream's JSON shows the field even when it is zero.
    pub always: bool,
    /// Whether protobuf wraps each list of this type in a message whose field 1 holds the items.
    pub wrapped: bool,
    /// Type of its value.
    pub type_: Type,
    /// `atomic`, `set` or `map`; empty when upstream says nothing.
    pub list_type: &'static str,
    /// Keys of a `map` list.
    pub list_map_keys: Vec<&'static str>,
    /// `atomic` or `granular` for a map or object whose type says otherwise; empty when upstream says nothing.
    pub map_type: &'static str,
    /// The only texts it takes, if upstream lists them; see [`Field::values`].
    values: &'static str,
    /// Patch strategies: `merge`, `replace`, `retainKeys`.
    pub patch_strategy: Vec<&'static str>,
    /// Key by which strategic merge patches match list items; empty for none.
    pub merge_key: &'static str,
    /// Whether OpenAPI marks it as required.
    pub required: bool,
    /// Whether upstream says nothing about it but what it is.
    pub bare: bool,
    /// What upstream declares it to be when it is left out, where that is not its zero; see [`Field::default`].
    own_default: Option<&'static str>,
    /// What is special about it in Go.
    go: Option<Box<go::Go>>,
    docs: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Text.
    String,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// True or false.
    Bool,
    /// Base64 text.
    Bytes,
    /// Floating-point number.
    Double,
    /// A quantity such as `100m`.
    Quantity,
    /// An integer or a text.
    IntOrString,
    /// RFC 3339, to the second.
    Time,
    /// RFC 3339, to the microsecond.
    MicroTime,
    /// Anything, kept as it is.
    Any,
    /// Another message, by name; see [`message`].
    Message(&'static str),
    /// The value of one field of a message, by name: JSON shows it alone, and its sort tells which field it is.
    Either(&'static str),
    /// A list.
    List(Box<Type>),
    /// An object with free keys.
    Map(Box<Type>),
}

impl Message {
    /// Indexes of the fields that have a protobuf form, ordered by their paths.
    pub fn by_number(&self) -> &[u16] {
        &self.by_number
    }

    /// Indexes of the fields that upstream shows of every such object.
    fn shown(&self) -> &[u16] {
        // Not known before all tables are read.
        self.shown.get_or_init(|| {
            let all = self.fields.iter().zip(0..);
            all.filter(|(f, _)| form::is_shown(f)).map(|(_, i)| i).collect()
        })
    }

    /// The field with this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|f| f.name.cmp(name)).ok()?;
        Some(&self.fields[at])
    }

    /// Of a message whose fields are alternatives, that for a value of this sort; see [`Type::Either`].
    pub fn alternative(&self, value: &Value) -> Option<&Field> {
        self.fields.iter().find(|field| match field.type_ {
            Type::Message(_) => value.is_object(),
            Type::List(_) => value.is_array(),
            Type::Bool => value.is_boolean(),
            _ => false,
        })
    }

    /// The fields in the order in which Go declares them.
    pub fn declared(&self) -> impl Iterator<Item = &Field> {
        self.declared.iter().map(|at| &self.fields[usize::from(*at)])
    }

    /// What it is, for people; empty when the table does not say.
    pub fn description(&self) -> String {
        described(self.docs)
    }

    /// The last part of the name, such as `DeploymentSpec`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

impl Field {
    /// What it is when it is left out: what upstream declares, or else its zero where upstream's JSON always shows it.
    pub fn default(&self) -> Option<Value> {
        let zero = || self.always && !self.optional;
        Some(match (&self.type_, self.own_default) {
            (Type::String, Some(text)) => text.into(),
            (Type::String, None) if zero() => "".into(),
            (Type::Int32 | Type::Int64, Some(text)) => text.parse::<i64>().ok()?.into(),
            (Type::Int32 | Type::Int64, None) if zero() => 0.into(),
            (Type::Bool, Some(text)) => (text == "true").into(),
            (Type::Bool, None) if zero() => false.into(),
            (Type::Message(_), _) if !self.optional => Value::Object(serde_json::Map::new()),
            _ => return None,
        })
    }

    /// What it is, for people; empty when the table does not say.
    pub fn description(&self) -> String {
        described(self.docs)
    }

    /// The only texts that it, or each of its items, may be, in order; none when any may.
    pub fn values(&self) -> Vec<String> {
        let listed = self.values.split(',').filter(|_| !self.values.is_empty());
        listed.map(|value| value.replace('_', " ")).collect()
    }
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let mut all: HashMap<&'static str, Message> = HashMap::new();
    for table in tables::TABLES {
        for block in table.split("\n\n") {
            if let Some(message) = parse(block) {
                all.insert(message.name, message);
            }
        }
    }
    all
});

type Gvk = (&'static str, &'static str, &'static str);

static KINDS: LazyLock<HashMap<Gvk, &'static Message>> = LazyLock::new(|| {
    // DeleteOptions and WatchEvent are listed under every group; others have one.
    MESSAGES
        .values()
        .flat_map(|m| m.gvks.iter().map(move |gvk| (*gvk, m)))
        .collect()
});

/// The message of a kind; the core group is empty.
pub fn message_for(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    KINDS.get(&(group, version, kind)).copied()
}

/// The message with this full name.
pub fn message(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

fn parse(block: &'static str) -> Option<Message> {
    let mut lines = block.lines();
    let name = lines.next()?.strip_prefix("message ")?;
    let mut message = Message {
        name,
        gvks: Vec::new(),
        atomic: false,
        fields: Vec::new(),
        by_number: Vec::new(),
        declared: Vec::new(),
        shown: OnceLock::new(),
        empty: OnceLock::new(),
        docs: "",
    };
    for line in lines {
        if line.trim_start().starts_with('#') {
            let docs = match message.fields.last_mut() {
                Some(field) => &mut field.docs,
                None => &mut message.docs,
            };
            *docs = reaching(block, docs, line);
            continue;
        }
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["gvk", group, version, kind] if !line.starts_with(' ') => {
                message
                    .gvks
                    .push((if *group == "-" { "" } else { group }, version, kind));
            }
            ["atomic"] => message.atomic = true,
            [name, number, type_, attributes @ ..] => {
                message.fields.push(parse_field(name, number, type_, attributes));
            }
            _ => {}
        }
    }
    let declared: Vec<&str> = message.fields.iter().map(|f| f.name).collect();
    // Looking fields up relies on their order.
    message.fields.sort_by_key(|f| f.name);
    let at = |name: &&str| message.fields.binary_search_by(|f| f.name.cmp(name)).ok();
    message.declared = declared.iter().filter_map(at).map(|at| at as u16).collect();
    let mut by_number: Vec<u16> = (0..message.fields.len() as u16).collect();
    by_number.retain(|i| !message.fields[usize::from(*i)].path.is_empty());
    by_number.sort_by(|a, b| {
        message.fields[usize::from(*a)]
            .path
            .cmp(&message.fields[usize::from(*b)].path)
    });
    message.by_number = by_number;
    Some(message)
}

/// The part of `block` from the beginning of `docs`, or of `line` if that is empty, to the end of `line`.
fn reaching(block: &'static str, docs: &'static str, line: &'static str) -> &'static str {
    let place = |part: &str| part.as_ptr() as usize - block.as_ptr() as usize;
    let start = if docs.is_empty() { place(line) } else { place(docs) };
    &block[start..place(line) + line.len()]
}

/// The text of lines that begin with `#`.
fn described(docs: &str) -> String {
    let lines = docs
        .lines()
        .map(|l| l.trim_start().trim_start_matches('#').trim());
    lines.collect::<Vec<_>>().join(" ")
}

fn parse_field(name: &'static str, number: &str, type_: &'static str, attributes: &[&'static str]) -> Field {
    let mut field = Field {
        name,
        path: number
            .split('.')
            .filter_map(|n| n.parse().ok())
            .filter(|n| *n > 0)
            .collect(),
        optional: false,
        always: false,
        wrapped: false,
        type_: parse_type(type_),
        list_type: "",
        list_map_keys: Vec::new(),
        map_type: "",
        values: "",
        patch_strategy: Vec::new(),
        merge_key: "",
        required: false,
        bare: false,
        own_default: None,
        go: go::Go::parse(attributes).map(Box::new),
        docs: "",
    };
    for attribute in attributes {
        match attribute.split_once('=') {
            Some(("list", v)) => field.list_type = v,
            Some(("keys", v)) => field.list_map_keys = v.split(',').collect(),
            Some(("map", v)) => field.map_type = v,
            Some(("default", v)) => field.own_default = Some(v),
            Some(("enum", v)) => field.values = v,
            Some(("patch", v)) => field.patch_strategy = v.split(',').collect(),
            Some(("merge", v)) => field.merge_key = v,
            _ => match *attribute {
                "required" => field.required = true,
                "bare" => field.bare = true,
                "ptr" => field.optional = true,
                "keep" => field.always = true,
                "items" => field.wrapped = true,
                _ => {}
            },
        }
    }
    field
}

fn parse_type(text: &'static str) -> Type {
    let inner = |prefix: &str| text.strip_prefix(prefix).and_then(|t| t.strip_suffix('>'));
    if let Some(item) = inner("list<") {
        return Type::List(Box::new(parse_type(item)));
    }
    if let Some(value) = inner("map<") {
        return Type::Map(Box::new(parse_type(value)));
    }
    if let Some(name) = inner("either<") {
        return Type::Either(name);
    }
    match text {
        "string" => Type::String,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "any" => Type::Any,
        name => Type::Message(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_described() {
        let mut missing = Vec::new();
        for message in MESSAGES.values() {
            let whole = (message.name.to_owned(), message.description());
            let fields = message.fields.iter();
            let fields = fields.map(|f| (format!("{} {}", message.name, f.name), f.description()));
            let bare = fields.chain([whole]).filter(|(_, text)| text.is_empty());
            missing.extend(bare.map(|(name, _)| name));
        }
        assert!(missing.is_empty(), "no lines with # stand below {missing:#?}");
    }
}
