//! Expressions, compiled and evaluated within what they may cost.

use crate::harness::Target;
use gantry_cel::{Decl, Env, Type, Value, limits};
use serde_json::json;
use std::sync::{Arc, LazyLock};

/// Decoders to feed.
pub const TARGETS: &[Target] = &[Target {
    name: "cel",
    words: &[
        "self",
        "self.text",
        "self.list",
        "self.map",
        "self.number",
        "self.any",
        "self.items",
        "oldSelf",
        ".all(x, ",
        ".exists(x, ",
        ".exists_one(x, ",
        ".map(x, ",
        ".filter(x, ",
        ".map(x, x, ",
        "has(",
        "size(",
        "in",
        "? ",
        ": ",
        "&&",
        "||",
        "!",
        "==",
        "!=",
        "<=",
        ">",
        "+",
        "-",
        "*",
        "/",
        "%",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ".",
        "'",
        "\"",
        "r'",
        "b'",
        "'''",
        "\\u00e9",
        "\\x",
        "0x",
        "1u",
        "1.5e3",
        "9223372036854775807",
        "true",
        "null",
        "optional.of(",
        ".?",
        "[?",
        ".orValue(",
        "int(",
        "uint(",
        "double(",
        "string(",
        "bytes(",
        "duration('1h')",
        "timestamp(",
        "dyn(",
        "type(",
        "matches(",
        ".find(",
        ".findAll(",
        ".split(",
        ".join(",
        ".replace(",
        ".substring(",
        ".format([",
        "%s",
        "%.3f",
        "%d",
        "%x",
        ".lowerAscii()",
        ".indexOf(",
        ".charAt(",
        "url(",
        "ip(",
        "cidr(",
        "quantity(",
        "semver(",
        "format.dns1123Label()",
        "sets.contains(",
        ".sum()",
        ".isSorted()",
        ".min()",
        "cel.bind(",
        ".transformList(",
        ".getFullYear('UTC')",
        ".flatten()",
        "lists.range(",
        ".sort()",
        ".distinct()",
        ".reverse()",
        "strings.quote(",
    ],
    run: cel,
}];

fn cel(input: &[u8]) {
    static ENV: LazyLock<(Env, Arc<Decl>)> = LazyLock::new(|| {
        let text = json!({"type": "string", "maxLength": 20});
        let schema = json!({"type": "object", "properties": {
            "text": text, "number": {"type": "integer"}, "part": {"type": "number"}, "yes": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "integer"}, "maxItems": 10},
            "map": {"type": "object", "additionalProperties": text},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": text, "size": {"x-kubernetes-int-or-string": true}}}},
            "when": {"type": "string", "format": "date-time"}, "long": {"type": "string", "format": "duration"},
            "raw": {"type": "string", "format": "byte"},
            "any": {"x-kubernetes-preserve-unknown-fields": true},
        }});
        let decl = Decl::of_schema(&schema, false);
        let env = Env::default()
            .declared("self", &decl, "self")
            .declared_optional("oldSelf", &decl, "self")
            .variable("object", Type::Dyn);
        (env, decl)
    });
    let object = json!({"text": "a,b c", "number": 3, "part": 1.5, "yes": true, "list": [3, 1, 2], "map": {"a": "b"},
        "items": [{"name": "x", "size": 1}, {"name": "y", "size": "10%"}], "when": "2026-01-02T03:04:05Z",
        "long": "1h5m", "raw": "AAEC", "any": {"a": [1]}});
    let (env, decl) = &*ENV;
    let expression = String::from_utf8_lossy(input);
    let any = [Type::Bool, Type::String, Type::Dyn, Type::Int];
    let program = match env.compile(&expression, &any) {
        Ok(program) => program,
        Err(why) => return drop(why.to_string()),
    };
    let own = || Value::declared(&object, decl);
    let all = [own(), own().map(Value::some), Value::declared(&object, decl)];
    let outcome = program.eval(all, limits::PER_CALL);
    assert!(
        outcome.cost <= limits::PER_CALL || outcome.result.is_err(),
        "too dear"
    );
    if let Err(why) = outcome.result {
        drop(why.to_string());
    }
}
