//! Decoders fed with what nobody would write: seeds changed at random, the same way every time. None may panic, and what
//! is read must be written and read again alike.

mod mutator;

use gantry_api::apply::{Reset, Writer};
use gantry_api::cron::Schedule;
use gantry_api::kind::Kind;
use gantry_api::quantity::Quantity;
use gantry_api::schema::{self, Message};
use gantry_api::selector::{Fields, Labels};
use gantry_api::{duration, kinds, patch, protobuf};
use mutator::Mutator;
use serde_json::{Value, json};

/// So many changed inputs for each decoder.
const ROUNDS: usize = 20_000;
fn fuzz(seeds: &[&[u8]], words: &[&str], decode: impl Fn(&[u8])) {
    seeds.iter().for_each(|seed| decode(seed));
    let mut mutator = Mutator::default();
    for _ in 0..ROUNDS {
        let input = mutator.change(seeds, words);
        let shown = String::from_utf8_lossy(&input).into_owned();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&input)));
        assert!(caught.is_ok(), "this input is not borne: {shown:?} {input:?}");
    }
}

fn fuzz_text(seeds: &[&str], words: &[&str], decode: impl Fn(&str)) {
    let seeds: Vec<&[u8]> = seeds.iter().map(|s| s.as_bytes()).collect();
    fuzz(&seeds, words, |input| decode(&String::from_utf8_lossy(input)));
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
    schema::message_for("", "v1", "Pod").unwrap()
}

fn pod_kind() -> Kind {
    let mut all = kinds::builtin().into_iter();
    all.find(|k| k.kind == "Pod" && k.version == "v1").unwrap()
}

#[test]
fn protobuf_bodies() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"},
        "binaryData": {"x": "AAEC"}});
    let seeds = [pod(), map].map(|o| protobuf::encode_object(&o).unwrap());
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    fuzz(&seeds, &["k8s\0", "\u{a}\u{0}", "v1", "Pod"], |input| {
        let Ok(object) = protobuf::decode_object(input, Some(pod_message())) else {
            return;
        };
        if let Ok(bytes) = protobuf::encode_object(&object) {
            let again =
                protobuf::decode_object(&bytes, Some(pod_message())).expect("what was written is read");
            let twice = protobuf::encode_object(&again).expect("what was read is written");
            assert_eq!(bytes, twice, "{object}");
        }
    });
}

#[test]
fn objects_under_the_schema() {
    let text = pod().to_string();
    let kind = pod_kind();
    let words = [
        "null",
        "9223372036854775808",
        "-1",
        "1e400",
        "1.5",
        "{}",
        "[]",
        "\"\"",
        "true",
        "\\ud800",
    ];
    fuzz_text(&[&text], &words, |text| {
        let Ok(mut object) = serde_json::from_str::<Value>(text) else {
            return;
        };
        if schema::check(pod_message(), &mut object).is_ok() {
            let once = object.clone();
            assert_eq!(
                schema::check(pod_message(), &mut object),
                Ok(Vec::new()),
                "{text}"
            );
            assert_eq!(object, once, "{text}");
            kind.hooks.default(&mut object);
        }
    });
}

#[test]
fn patches() {
    let json_patch = r#"[{"op":"add","path":"/spec/containers/-1","value":{"a":[1]}},
        {"op":"test","path":"/spec/x","value":null},{"op":"move","from":"/spec/containers/0","path":"/a~1b"},
        {"op":"copy","from":"/spec","path":"/spec/copy"},{"op":"remove","path":"/spec/priority"}]"#;
    let words = [
        "/",
        "~1",
        "~0",
        "-",
        "-1",
        "99999999999999999999",
        "\"replace\"",
        "null",
        "\"from\"",
    ];
    fuzz_text(&[json_patch], &words, |text| {
        drop(patch::json(pod(), text.as_bytes()))
    });

    let strategic = r#"{"spec":{"containers":[{"name":"c","$patch":"delete"},{"name":"d"}],
        "$setElementOrder/containers":[{"name":"c"},{"name":"d"}],"$retainKeys":["containers"],
        "$deleteFromPrimitiveList/finalizers":["a"],"nodeSelector":{"$patch":"replace"},"tolerations":null}}"#;
    let words = [
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
    ];
    fuzz_text(&[strategic], &words, |text| {
        if let Ok(change) = serde_json::from_str(text) {
            drop(patch::strategic(pod(), &change, pod_message()));
            drop(patch::merge(pod(), &change));
        }
    });
}

#[test]
fn field_sets() {
    let seed = r#"{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}},"v:1":{},"i:0":{}}},"k:{}":{}}"#;
    let writer = Writer {
        schema: Some(schema::Schema::Table(pod_message())),
        api_version: "v1",
        kind: "Pod",
        subresource: "",
        manager: "test",
        now: "2026-01-02T00:00:00Z",
        reset: Reset::Nothing,
        others: &[],
    };
    fuzz_text(
        &[seed],
        &["f:", "k:{", "v:", "i:", "\".\"", "\\\"", "null"],
        |text| {
            let Ok(fields) = serde_json::from_str::<Value>(text) else {
                return;
            };
            let mut live = pod();
            live["metadata"]["managedFields"] = json!([{"manager": "other", "operation": "Apply", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}]);
            if let Ok(applied) = writer.apply(Some(&live), &pod(), true) {
                writer.update(Some(&live), &applied);
            }
        },
    );
}

#[test]
fn selectors() {
    let seeds = [
        "a=b,c!=d",
        "a in (b,c),!d,e",
        "x notin (),y==z",
        "a.b/c=d,e>1,f<2",
    ];
    let words = ["in", "notin", "(", ")", ",", "==", "!=", "!", " ", "é", ">", "<"];
    let pod = pod();
    fuzz_text(&seeds, &words, |text| {
        if let Ok(labels) = Labels::parse(text) {
            labels.matches(&pod);
        }
    });
    let kind = pod_kind();
    let seeds = [
        "metadata.name=a,status.phase!=Running",
        "spec.nodeName==x\\,y",
        "a=b\\=c",
    ];
    fuzz_text(&seeds, &["\\", "\\,", "=", "!=", ","], |text| {
        if let Ok(fields) = Fields::parse(text, &kind) {
            fields.matches(&pod);
        }
    });
}

#[test]
fn quantities() {
    let words = [
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
    ];
    fuzz_text(
        &["100m", "1.5Gi", "12e6", "-5k", "0.1", "+3E-2"],
        &words,
        |text| {
            let Ok(quantity) = Quantity::parse(text) else {
                return;
            };
            let (_, _, _) = (quantity.value(), quantity.milli_value(), quantity.sign());
            let written = quantity.to_string();
            let again = Quantity::parse(&written).map(|q| q.to_string());
            assert_eq!(again.as_deref().ok(), Some(written.as_str()), "{text}");
        },
    );
}

#[test]
fn schedules_and_durations() {
    let seeds = [
        "*/5 1-3,7 * JAN-MAR MON",
        "@every 1h30m",
        "@daily",
        "CRON_TZ=UTC 0 0 1 1 0",
    ];
    let words = [
        "*",
        "/",
        "-",
        ",",
        "0",
        "99",
        "@",
        "TZ=",
        " ",
        "?",
        "1.5h",
        "9999999999999999999999h",
    ];
    fuzz_text(&seeds, &words, |text| {
        drop(Schedule::parse(text, |zone| zone == "UTC"));
        drop(duration::parse(text));
    });
}
