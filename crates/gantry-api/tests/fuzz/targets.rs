//! The decoders of this crate. Where a target takes two texts, they stand on two lines.

use crate::harness::Target;
use gantry_api::apply::{Reset, Writer};
use gantry_api::cron::Schedule;
use gantry_api::kind::Kind;
use gantry_api::quantity::Quantity;
use gantry_api::schema::{self, Message, Schema};
use gantry_api::selector::{Fields, Labels};
use gantry_api::structural::{Pattern, json_path::JsonPath};
use gantry_api::{custom_resource, duration, json as api_json, kinds, patch, protobuf};
use serde_json::{Value, json};
use std::sync::LazyLock;

const OF_JSON: &[&str] = &[
    "null",
    "true",
    "9223372036854775808",
    "-1",
    "1e400",
    "1.5",
    "{}",
    "[]",
    "\"\"",
    "\\ud800",
    "\":\"",
    "\",\"",
    "},{",
    "\"a\":",
];

/// Decoders to feed.
pub const TARGETS: &[Target] = &[
    Target {
        name: "json",
        words: OF_JSON,
        run: json_text,
    },
    Target {
        name: "objects",
        words: &[
            "null",
            "true",
            "9223372036854775808",
            "-1",
            "1e400",
            "1.5",
            "{}",
            "[]",
            "\"\"",
            "\\ud800",
            "Pod\"",
            "Service\"",
            "Deployment\"",
            "CronJob\"",
            "\"spec\":{",
            "\"status\":{",
            "\"metadata\":{",
            "\"template\":{",
            "\"containers\":[",
        ],
        run: objects,
    },
    Target {
        name: "protobuf",
        words: &[
            "k8s\0",
            "\n\0",
            "v1",
            "Pod",
            "Service",
            "Secret",
            "apps/v1",
            "Deployment",
            "ConfigMap",
            "List",
            "Event",
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "\u{8}\u{1}",
            "\u{12}\u{2}",
        ],
        run: protobuf_body,
    },
    Target {
        name: "json-patch",
        words: &[
            "/",
            "~1",
            "~0",
            "-",
            "-1",
            "99999999999999999999",
            "\"replace\"",
            "null",
            "\"from\"",
            "/spec/containers/0",
            "\"copy\"",
            "\"move\"",
            "\"test\"",
            "\"add\"",
            "\"remove\"",
            "\"value\":",
        ],
        run: |input| drop(patch::json(pod(), input)),
    },
    Target {
        name: "merge-patch",
        words: OF_JSON,
        run: merge_patch,
    },
    Target {
        name: "strategic-patch",
        words: &[
            "$patch",
            "replace",
            "merge",
            "delete",
            "$retainKeys",
            "null",
            "[]",
            "{}",
            "[[1]]",
            "$setElementOrder/",
            "$deleteFromPrimitiveList/",
            "containers",
            "\"name\":\"c\"",
            "\"env\":",
            "\"ports\":",
            "\"containerPort\":80",
        ],
        run: strategic_patch,
    },
    Target {
        name: "apply",
        words: &[
            "\n",
            "\"name\":",
            "\"containers\":[",
            "\"ports\":[",
            "null",
            "[]",
            "{}",
            "\"finalizers\":",
            "\"conditions\":",
            "\"type\":",
            "\"metadata\":",
            "\"labels\":",
            "\"env\":",
            "\"limits\":",
        ],
        run: apply,
    },
    Target {
        name: "managed-fields",
        words: &[
            "f:",
            "k:{",
            "v:",
            "i:",
            "\".\":{}",
            "\\\"",
            "null",
            "\"f:spec\":",
            "k:{\\\"name\\\":\\\"c\\\"}",
            "{}",
        ],
        run: managed_fields,
    },
    Target {
        name: "label-selector",
        words: &[
            "in", "notin", "(", ")", ",", "==", "!=", "!", " ", "é", ">", "<", "a.b/c", " in (",
        ],
        run: label_selector,
    },
    Target {
        name: "field-selector",
        words: &[
            "\\",
            "\\,",
            "=",
            "!=",
            ",",
            "metadata.name",
            "status.phase",
            "spec.nodeName",
            "==",
        ],
        run: field_selector,
    },
    Target {
        name: "quantity",
        words: &[
            "Ki",
            "Ei",
            "m",
            "n",
            "e",
            "E",
            "999999999999999999999",
            "0.000000000001",
            "-",
            "+",
            ".",
        ],
        run: quantity,
    },
    Target {
        name: "duration",
        words: &[
            "1.5h",
            "9999999999999999999999h",
            "ms",
            "µs",
            "ns",
            "-",
            ".",
            "2562047h47m16.854775807s",
        ],
        run: |input| drop(duration::parse(&text(input))),
    },
    Target {
        name: "cron",
        words: &[
            "*",
            "/",
            "-",
            ",",
            "0",
            "99",
            "@",
            "TZ=",
            "CRON_TZ=UTC ",
            " ",
            "?",
            "JAN",
            "MON",
            "@every ",
            "*/5",
        ],
        run: |input| drop(Schedule::parse(&text(input), |zone| zone == "UTC")),
    },
    Target {
        name: "definition",
        words: &[
            "\n",
            "\"type\":\"object\"",
            "\"properties\":{",
            "\"items\":{",
            "\"default\":",
            "\"additionalProperties\":",
            "\"x-kubernetes-preserve-unknown-fields\":true",
            "\"x-kubernetes-int-or-string\":true",
            "\"pattern\":\"",
            "\"enum\":[",
            "\"x-kubernetes-embedded-resource\":true",
            "\"x-kubernetes-list-type\":\"map\"",
            "\"x-kubernetes-list-map-keys\":[",
            "\"allOf\":[",
            "\"anyOf\":[",
            "\"not\":{",
            "\"nullable\":true",
            "\"format\":\"",
            "\"multipleOf\":",
            "\"minimum\":",
            "\"maxLength\":",
            "\"required\":[",
            "\"type\":\"string\"",
            "\"type\":\"array\"",
            "\"x-kubernetes-validations\":[{\"rule\":\"",
        ],
        run: definition,
    },
    Target {
        name: "pattern",
        words: &[
            "\n",
            "(?i)",
            "(?P<a>",
            "(?:",
            "[[:alpha:]]",
            "\\pL",
            "\\x{10ffff}",
            "{1,1000}",
            "*?",
            "[^",
            "\\Q",
            "\\E",
            "\\z",
            "\\C",
            "|",
            "$",
            "^",
            "\\b",
            "(?s:",
            "\\d",
            "[a-z&&[^b]]",
        ],
        run: pattern,
    },
    Target {
        name: "json-path",
        words: &[
            ".", "[", "]", "'", "\"", "..", "*", "?(@.a==", "[0:2]", "[-1]", "{", "}", "$", "@", "\\.",
        ],
        run: json_path,
    },
];

fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// The two lines of an input.
fn lines(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
    (&input[..end], input.get(end + 1..).unwrap_or_default())
}

fn read(input: &[u8]) -> Option<Value> {
    api_json::read(input).ok().map(|read| read.value)
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "labels": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 7},
        "spec": {"nodeSelector": {"x": "y"}, "hostNetwork": true, "priority": -1,
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "100m"}}, "env": [{"name": "A", "value": "1"}],
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}}}]}})
}

fn pod_message() -> &'static Message {
    schema::message_for("", "v1", "Pod").expect("there are Pods")
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(kinds::builtin);

fn kind_of(object: &Value) -> &'static Kind {
    let is =
        |kind: &&Kind| object["kind"] == kind.kind.as_str() && object["apiVersion"] == kind.api_version();
    KINDS.iter().find(is).unwrap_or_else(|| kind_of(&pod()))
}

fn json_text(input: &[u8]) {
    let Ok(mut found) = api_json::read(input) else {
        return;
    };
    api_json::in_order(input, &mut found.duplicates);
    let written = found.value.to_string();
    let again = api_json::read(written.as_bytes()).expect("what was written is read");
    assert_eq!(again.value, found.value);
    assert!(again.duplicates.is_empty());
    api_json::settle_numbers(&mut found.value);
    drop(api_json::printed(&found.value));
}

/// As the server does with what is created: checked, defaulted, validated, and written for the store.
fn objects(input: &[u8]) {
    let Some(mut object) = read(input).filter(Value::is_object) else {
        return;
    };
    let kind = kind_of(&object);
    let Some(schema) = kind.schema() else { return };
    if schema.check(&mut object).is_err() {
        return;
    }
    let once = object.clone();
    assert_eq!(schema.check(&mut object), Ok(Vec::new()));
    assert_eq!(object, once);
    let hooks = &kind.hooks;
    hooks.default(&mut object);
    hooks.prepare_create(&mut object);
    for error in hooks.validate_create(&object) {
        drop(error.to_string());
    }
    drop(hooks.validate_update(&object, &once));
    drop(hooks.warnings(&object, None));
    drop(hooks.to_storage(&object).into_owned());
    drop(hooks.printed(&object).into_owned());
}

fn protobuf_body(input: &[u8]) {
    let Ok(object) = protobuf::decode_object(input, Some(pod_message())) else {
        return;
    };
    let Ok(bytes) = protobuf::encode_object(&object) else {
        return;
    };
    let again = protobuf::decode_object(&bytes, Some(pod_message())).expect("what was written is read");
    let twice = protobuf::encode_object(&again).expect("what was read is written");
    assert_eq!(bytes, twice, "{object}");
}

fn merge_patch(input: &[u8]) {
    if let Ok(change) = patch::read_merge(input) {
        let once = patch::merge(pod(), &change.value);
        assert_eq!(patch::merge(once.clone(), &change.value), once, "twice is once");
    }
}

fn strategic_patch(input: &[u8]) {
    if let Ok(change) = patch::read_strategic(input) {
        drop(patch::strategic(pod(), &change.value, pod_message()));
    }
}

fn writer() -> Writer<'static> {
    Writer {
        schema: Some(Schema::Table(pod_message())),
        api_version: "v1",
        kind: "Pod",
        subresource: "",
        manager: "test",
        now: "2026-01-02T00:00:00Z",
        reset: Reset::Nothing,
        others: &[],
    }
}

/// Two appliers, the second over what the first did.
fn apply(input: &[u8]) {
    let (change, second) = lines(input);
    let first = Writer {
        manager: "first",
        ..writer()
    };
    let Some(change) = read(change).filter(Value::is_object) else {
        return;
    };
    let Ok(live) = first.apply(Some(&pod()), &change, true) else {
        return;
    };
    let Some(change) = read(second).filter(Value::is_object) else {
        return;
    };
    let writer = writer();
    if let Err(why) = writer.apply(Some(&live), &change, false) {
        drop(format!("{why:?}"));
    }
    if let Ok(applied) = writer.apply(Some(&live), &change, true) {
        let again = writer
            .apply(Some(&applied), &change, true)
            .expect("what was applied can be again");
        assert_eq!(again, applied, "twice is once");
    }
    drop(writer.update(Some(&live), &change));
}

fn managed_fields(input: &[u8]) {
    let Some(fields) = read(input) else { return };
    let mut live = pod();
    live["metadata"]["managedFields"] = json!([{"manager": "other", "operation": "Apply", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}]);
    let writer = writer();
    if let Ok(applied) = writer.apply(Some(&live), &pod(), true) {
        drop(writer.update(Some(&live), &applied));
    }
}

fn label_selector(input: &[u8]) {
    if let Ok(labels) = Labels::parse(&text(input)) {
        labels.matches(&pod());
    }
}

fn field_selector(input: &[u8]) {
    if let Ok(fields) = Fields::parse(&text(input), kind_of(&pod())) {
        fields.matches(&pod());
        let _ = fields.exact_name();
    }
}

fn quantity(input: &[u8]) {
    let text = text(input);
    let Ok(quantity) = Quantity::parse(&text) else {
        return;
    };
    let (_, _, _) = (quantity.value(), quantity.milli_value(), quantity.sign());
    let written = quantity.to_string();
    let again = Quantity::parse(&written).map(|q| q.to_string());
    assert_eq!(again.as_deref().ok(), Some(written.as_str()), "{text}");
}

/// A schema, and an object for it: the definition is checked and made kinds of, and the object goes through them.
fn definition(input: &[u8]) {
    let (schema, object) = lines(input);
    let Some(schema) = read(schema) else { return };
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    let kind = kind_of(&definition);
    let table = kind.schema().expect("definitions have a schema");
    if table.check(&mut definition).is_err() {
        return;
    }
    kind.hooks.default(&mut definition);
    kind.hooks.prepare_create(&mut definition);
    drop(kind.hooks.warnings(&definition, None));
    if !kind.hooks.validate_create(&definition).is_empty() {
        return;
    }
    let definition = &{
        let mut accepted = definition.clone();
        accepted["status"]["acceptedNames"] = accepted["spec"]["names"].clone();
        accepted
    };
    let made = custom_resource::kinds(definition);
    let kind = made.first().expect("a good definition makes a kind");
    let Some(mut object) = read(object).filter(Value::is_object) else {
        return;
    };
    let schema = kind.schema().expect("it has one");
    if schema.check(&mut object).is_err() {
        return;
    }
    kind.hooks.default(&mut object);
    kind.hooks.prepare_create(&mut object);
    let errors = kind.hooks.validate_create(&object);
    errors.iter().for_each(|error| drop(error.to_string()));
    let mut stored = object.clone();
    kind.hooks.from_storage(&mut stored);
    if errors.is_empty() {
        assert!(kind.hooks.validate_create(&stored).is_empty(), "{stored}");
    }
    let writer = Writer {
        schema: Some(schema),
        api_version: "example.com/v1",
        kind: "Foo",
        ..writer()
    };
    drop(writer.apply(None, &object, true));
}

/// A pattern, and a text for it.
fn pattern(input: &[u8]) {
    let (pattern, value) = lines(input);
    let pattern = text(pattern);
    let good = Pattern::check(&pattern).is_ok();
    assert_eq!(Pattern::compile(&pattern).is_ok(), good);
    let matches = Pattern::new(&pattern).matches(&text(value));
    assert!(good || !matches, "what is refused matches nothing");
}

fn json_path(input: &[u8]) {
    if let Some(path) = JsonPath::parse(&text(input)) {
        path.first(&pod());
    }
}
