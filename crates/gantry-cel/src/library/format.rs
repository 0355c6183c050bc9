//! Named formats of texts.

use super::{Library, mismatch, url};
use crate::cost::{PATTERN, Rule, TRAVERSAL, rules, scaled};
use crate::error::Result;
use crate::value::{Object, Value};
use gantry_formats::{formats, openapi};
use std::any::Any;
use std::fmt;

/// A format.
struct Format {
    /// The name in expressions.
    name: &'static str,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
    /// How long the pattern is that upstream checks with: what a check costs depends on it.
    pattern: u64,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Object for &'static Format {
    fn type_name(&self) -> &'static str {
        "kubernetes.NamedFormat"
    }

    fn equals(&self, other: &dyn Object) -> Option<bool> {
        let other: &&'static Format = other.as_any().downcast_ref()?;
        Some(self.name == other.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn openapi(format: &str, text: &str, wrong: &str) -> Vec<String> {
    match openapi::is(format, text) {
        true => Vec::new(),
        false => vec![wrong.into()],
    }
}

/// A prefix of a generated name may end with a dash; upstream takes what stands before it away too.
fn prefix(text: &str, check: fn(&str) -> Vec<String>) -> Vec<String> {
    let mut before = text.strip_suffix('-').unwrap_or_default().chars();
    match before.next_back() {
        Some(_) => check(&format!("{}a", before.as_str())),
        None => check(text),
    }
}

static FORMATS: [Format; 13] = [
    Format {
        name: "dns1123Label",
        check: formats::dns_label,
        pattern: 30,
    },
    Format {
        name: "dns1123Subdomain",
        check: formats::dns_subdomain,
        pattern: 60,
    },
    Format {
        name: "dns1035Label",
        check: formats::dns1035_label,
        pattern: 30,
    },
    Format {
        name: "qualifiedName",
        check: formats::qualified_name,
        pattern: 60,
    },
    Format {
        name: "dns1123LabelPrefix",
        check: |text| prefix(text, formats::dns_label),
        pattern: 30,
    },
    Format {
        name: "dns1123SubdomainPrefix",
        check: |text| prefix(text, formats::dns_subdomain),
        pattern: 60,
    },
    Format {
        name: "dns1035LabelPrefix",
        check: |text| prefix(text, formats::dns1035_label),
        pattern: 30,
    },
    Format {
        name: "labelValue",
        check: formats::label_value,
        pattern: 40,
    },
    Format {
        name: "uri",
        check: |text| url::problem(text).into_iter().collect(),
        pattern: 1103,
    },
    Format {
        name: "uuid",
        check: |text| openapi("uuid", text, "does not match the UUID format"),
        pattern: 70,
    },
    Format {
        name: "byte",
        check: |text| openapi("byte", text, "invalid base64"),
        pattern: 84,
    },
    Format {
        name: "date",
        check: |text| openapi("date", text, "invalid date"),
        pattern: 71,
    },
    Format {
        name: "datetime",
        check: |text| openapi("datetime", text, "invalid datetime"),
        pattern: 71,
    },
];

const VALIDATE: Rule = Rule {
    counted: |args, _| {
        let (Some(format), Some(text)) = (args.first().and_then(as_format), args.get(1)) else {
            return 1;
        };
        let text = ((1.0 + text.cost_size() as f64) * TRAVERSAL).ceil() as u64;
        text.saturating_mul(scaled(format.pattern, PATTERN))
    },
    estimated: |call| crate::cost::Estimate::of(call.arg(0).by(TRAVERSAL).by(128.0 * PATTERN)),
    by_name: true,
};

pub(super) fn register(library: &mut Library) {
    let validate_type = "(kubernetes.NamedFormat, string) -> optional_type(list(string))";
    library
        .add_member("validate", "format-validate", validate_type, validate)
        .cost(VALIDATE);
    let named_type = "(string) -> optional_type(kubernetes.NamedFormat)";
    library
        .add("format.named", "format-named", named_type, named)
        .cost(rules::ONE);
    // A function for each, `format.uuid()`.
    let constants: [(&'static str, super::Eval); 13] = [
        ("format.dns1123Label", |_| Ok(Value::object(&FORMATS[0]))),
        ("format.dns1123Subdomain", |_| Ok(Value::object(&FORMATS[1]))),
        ("format.dns1035Label", |_| Ok(Value::object(&FORMATS[2]))),
        ("format.qualifiedName", |_| Ok(Value::object(&FORMATS[3]))),
        ("format.dns1123LabelPrefix", |_| Ok(Value::object(&FORMATS[4]))),
        ("format.dns1123SubdomainPrefix", |_| {
            Ok(Value::object(&FORMATS[5]))
        }),
        ("format.dns1035LabelPrefix", |_| Ok(Value::object(&FORMATS[6]))),
        ("format.labelValue", |_| Ok(Value::object(&FORMATS[7]))),
        ("format.uri", |_| Ok(Value::object(&FORMATS[8]))),
        ("format.uuid", |_| Ok(Value::object(&FORMATS[9]))),
        ("format.byte", |_| Ok(Value::object(&FORMATS[10]))),
        ("format.date", |_| Ok(Value::object(&FORMATS[11]))),
        ("format.datetime", |_| Ok(Value::object(&FORMATS[12]))),
    ];
    for (name, eval) in constants {
        library.add(name, name, "() -> kubernetes.NamedFormat", eval);
    }
}

fn as_format(value: &Value<'_>) -> Option<&'static Format> {
    value.as_object::<&'static Format>().copied()
}

fn named<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    match args {
        [Value::String(name)] => {
            let found = FORMATS.iter().find(|format| format.name == &**name);
            Ok(found.map_or(Value::NONE, |format| Value::some(Value::object(format))))
        }
        _ => mismatch(),
    }
}

fn validate<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let (Some(format), Some(Value::String(text))) = (args.first().and_then(as_format), args.get(1)) else {
        return mismatch();
    };
    let problems = (format.check)(text);
    Ok(match problems.is_empty() {
        true => Value::NONE,
        false => Value::some(Value::list(problems.into_iter().map(Value::from).collect())),
    })
}
