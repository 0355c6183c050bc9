//! What reads requests.

use crate::harness::Target;
use bytes::Bytes;
use gantry_api::kinds;
use gantry_apiserver::decoders::{self, Urls};
use std::sync::LazyLock;

/// Decoders to feed.
pub const TARGETS: &[Target] = &[
    Target {
        name: "yaml",
        words: &["null", "{}", "[]", "\"\"", "1e999", "-1", "&a ", "*a", "<<: ", "---\n", "...\n", "!!binary ", "!!str ", "- ",
            ": ", "? ", "\t", "|\n", ">-\n", "\\ud800", "# ", "%YAML 1.2\n", "{a: ", "[a, ", "'", "0x1f", ".inf", "~", "0o7"],
        run: |input| body("application/yaml", input),
    },
    Target {
        name: "json-body",
        words: &["null", "{}", "[]", "\"kind\":", "\"apiVersion\":", "1e999", "-1", "\\ud800", "\"ConfigMap\"", "\"v1\""],
        run: |input| body("application/json", input),
    },
    Target {
        name: "protobuf-body",
        words: &["k8s\0", "v1", "ConfigMap", "Pod", "DeleteOptions", "List", "\u{12}\u{2}"],
        run: |input| body("application/vnd.kubernetes.protobuf", input),
    },
    Target {
        name: "accept",
        words: &[";", ",", "q=", "as=", "*/*", "v=v1beta1", "v=v1", "g=meta.k8s.io", "q=nan", "q=1e999", "\"", "=", "as=Table",
            "application/json", "application/yaml", "stream=watch", "application/vnd.kubernetes.protobuf",
            "as=PartialObjectMetadata", "as=APIGroupDiscoveryList", "g=apidiscovery.k8s.io", "v=v2"],
        run: |input| decoders::accept(&String::from_utf8_lossy(input)),
    },
    Target {
        name: "url",
        words: &["/", "?", "&", "=", "%", "%00", "%2F", "..", "watch=true", "limit=-1", "continue=", "é", "//", "/api/v1/",
            "/apis/apps/v1/", "namespaces/", "/proxy/", "/watch/", "resourceVersion=", "resourceVersionMatch=Exact",
            "NotOlderThan", "sendInitialEvents=", "dryRun=All", "fieldManager=", "fieldValidation=Strict", "timeoutSeconds=",
            "labelSelector=", "fieldSelector=", "pods", "deployments", "/status", "/scale", "propagationPolicy="],
        run: |input| {
            static URLS: LazyLock<Urls> = LazyLock::new(Urls::default);
            URLS.read(&String::from_utf8_lossy(input));
        },
    },
    Target {
        name: "continue-token",
        words: &["\"v\":\"meta.k8s.io/v1\"", "\"rv\":", "\"start\":\"", "-1", "0", "99999999999999999999", "..", "/", "\\u0000", "null"],
        run: |input| decoders::continue_token(input),
    },
];

fn body(content_type: &str, input: &[u8]) {
    static KINDS: LazyLock<Vec<gantry_api::kind::Kind>> = LazyLock::new(kinds::builtin);
    let kind = KINDS.iter().find(|k| k.kind == "ConfigMap");
    decoders::body(content_type, &Bytes::copy_from_slice(input), kind);
}
