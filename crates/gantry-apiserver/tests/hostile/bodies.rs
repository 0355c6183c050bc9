//! Bodies.

use crate::cluster::{Cluster, LONG_ENOUGH, MAPS, read, request, unfinished, url, with_body};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

/// Bodies may be this large.
const LIMIT: usize = 3 * 1024 * 1024;

#[tokio::test]
async fn bodies_that_are_too_large() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let (code, answer) = cluster
        .send(&ann, request("POST", MAPS, vec![b' '; LIMIT + 1]))
        .await;
    let message = "Request entity too large: limit is 3145728";
    let found = (code, &answer["reason"], &answer["message"]);
    assert_eq!(found, (413, &"RequestEntityTooLarge".into(), &message.into()));

    // What does not say how large it is, is read no further than that.
    let mut connection = cluster.http2(&ann).await;
    let endless = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b' '; 64 * 1024]))));
    let endless = with_body("POST", &url(), StreamBody::new(endless).boxed_unsync());
    let (code, answer) = read(connection.send_request(endless).await.unwrap()).await;
    assert_eq!((code, &answer["message"]), (413, &message.into()));
    cluster.works().await;
}

#[tokio::test]
async fn bodies_that_never_end() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let path = format!("{MAPS}?timeout=200ms");
    let (code, answer) = cluster
        .send(&ann, with_body("POST", &path, unfinished("{")))
        .await;
    let expected = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Timeout", "code": 504,
        "message": "Timeout: request did not complete within the allotted timeout", "details": {},
    });
    assert_eq!((code, answer), (504, expected));
    let path = format!("{MAPS}?timeout=soon");
    let (code, answer) = cluster.send(&ann, request("GET", &path, "")).await;
    let message = "invalid timeout specified in the request URL - time: invalid duration \"soon\"";
    assert_eq!((code, &answer["message"]), (400, &message.into()));
}

#[tokio::test]
async fn bodies_that_are_nonsense() {
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    let check = async |type_: &str, body: &[u8], code: u16, message: &str| {
        let mut request = request("POST", MAPS, body.to_vec());
        request
            .headers_mut()
            .insert("content-type", type_.parse().unwrap());
        let (found, answer) = cluster.send(&ann, request).await;
        let said = answer["message"].as_str().unwrap_or_default();
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(found, code, "{shown}: {said}");
        assert!(said.contains(message), "{shown}: {said}");
        assert!(said.len() < 4096, "{shown}: an answer of {} bytes", said.len());
    };
    const JSON: &str = "application/json";
    const YAML: &str = "application/yaml";
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let deep = |open: &str, n: usize| open.repeat(n).into_bytes();
    check(JSON, &deep("[", 1_000_000), 400, "json parse error").await;
    check(JSON, &deep("{\"a\":", 500_000), 400, "json parse error").await;
    check(YAML, &deep("[", 1_000_000), 400, "").await;
    check(YAML, &deep("{a: ", 500_000), 400, "").await;
    check(YAML, &deep("- ", 1_000_000), 400, "").await;
    let laughs = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, i| {
        let before = format!("*a{}", i - 1);
        format!("{text}a{i}: &a{i} [{}]\n", [before.as_str(); 9].join(", "))
    });
    check(YAML, laughs.as_bytes(), 400, "").await;
    check(JSON, b"", 400, "").await;
    check(JSON, b"null", 422, "metadata.name: Required").await;
    check(JSON, b"[{}]", 400, "").await;
    check(JSON, b"{} {}", 400, "").await;
    check(JSON, b"{\"a\": \"\xff\xfe\"}", 422, "metadata.name: Required").await;
    check(JSON, b"\xef\xbb\xbf{}", 400, "").await;
    check(JSON, &vec![b'1'; 1_000_000], 400, "").await;
    check(JSON, b"{\"metadata\": {\"generation\": 1e999}}", 400, "").await;
    check(
        PROTOBUF,
        b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        400,
        "",
    )
    .await;
    let mut nested = Vec::new();
    for _ in 0..2_000 {
        let length = u32::try_from(nested.len()).unwrap();
        let mut outer = vec![0x0a];
        let mut rest = length;
        while rest >= 0x80 {
            outer.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        outer.push(rest as u8);
        outer.extend(nested);
        nested = outer;
    }
    check(PROTOBUF, &[b"k8s\0\x12", &nested[1..]].concat(), 400, "").await;
    let number = |text: &str| format!(r#"{{"metadata": {{"name": "n", "generation": {text}}}}}"#);
    let wrong = "json: cannot unmarshal number";
    check(JSON, number("9223372036854775808").as_bytes(), 400, wrong).await;
    check(JSON, number("1.5").as_bytes(), 400, wrong).await;
    check(
        JSON,
        number("\"1\"").as_bytes(),
        400,
        "json: cannot unmarshal string",
    )
    .await;
    cluster.works().await;
}

/// What is sent in one list may be as long as a body: looking at each item must not mean looking at all before it.
#[tokio::test]
async fn lists_that_are_long() {
    const COUNT: usize = 10_000;
    let cluster = Cluster::start().await;
    let ann = cluster.user("ann");
    // Pods need one.
    let account = request(
        "POST",
        "/api/v1/namespaces/default/serviceaccounts",
        r#"{"metadata": {"name": "default"}}"#,
    );
    assert_eq!(cluster.send(&ann, account).await.0, 201);
    let many = |item: &dyn Fn(usize) -> Value| (0..COUNT).map(item).collect::<Value>();
    let pod = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    let container = |field: &str, items: Value| json!([{"name": "c", "image": "i", field: items}]);
    let usual = || json!([{"name": "c", "image": "i"}]);
    let files = many(&|n| json!({"key": "k", "path": format!("f{n}")}));
    let volumes = many(&|n| json!({"name": format!("v{n}"), "emptyDir": {}}));
    let mounts = many(&|n| json!({"name": format!("v{n}"), "mountPath": format!("/{n}")}));
    let cases = [
        pod(json!({"containers": many(&|n| json!({"name": format!("c{n}"), "image": "i"}))})),
        pod(
            json!({"containers": usual(), "initContainers": many(&|n| json!({"name": format!("i{n}"), "image": "i"}))}),
        ),
        pod(
            json!({"containers": container("env", many(&|n| json!({"name": format!("E{n}"), "value": "v"})))}),
        ),
        // As many warnings, too.
        pod(json!({"containers": container("env", many(&|n| json!({"name": format!("E{}", n / 2)})))})),
        pod(
            json!({"containers": container("ports", many(&|n| json!({"containerPort": 1 + n, "name": format!("p{n}")})))}),
        ),
        pod(json!({"containers": container("ports", many(&|_| json!({"containerPort": 1})))})),
        pod(json!({"containers": container("volumeMounts", mounts), "volumes": volumes})),
        pod(
            json!({"containers": usual(), "volumes": [{"name": "v", "configMap": {"name": "m", "items": files}}]}),
        ),
        pod(
            json!({"containers": usual(), "hostAliases": many(&|n| json!({"ip": format!("10.0.{}.{}", n / 250, n % 250)}))}),
        ),
        pod(json!({
            "containers": container("resources", json!({"claims": many(&|n| json!({"name": format!("no{n}")}))})),
            "resourceClaims": many(&|n| json!({"name": format!("c{n}"), "resourceClaimName": "x"})),
        })),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let path = "/api/v1/namespaces/default/pods?dryRun=All&timeout=60s";
        let sent = cluster.send(&ann, request("POST", path, case.to_string()));
        let answer = tokio::time::timeout(LONG_ENOUGH / 2, sent).await;
        let (code, _) = answer.unwrap_or_else(|_| panic!("case {n} takes too long"));
        assert!(matches!(code, 201 | 422), "case {n}: {code}");
    }
}

/// A patch may say more than it has bytes, and a body be packed: upstream unpacks none.
#[tokio::test]
async fn bodies_that_are_larger_than_they_look() {
    let cluster = Cluster::start().await;
    cluster.fill(1, 10).await;
    let ann = cluster.user("ann");
    let check = async |method: &str, type_: &str, body: Vec<u8>, code: u16, message: &str| {
        let path = if method == "POST" {
            MAPS.to_string()
        } else {
            format!("{MAPS}/large-0")
        };
        let mut request = request(method, &path, body);
        request
            .headers_mut()
            .insert("content-type", type_.parse().unwrap());
        request
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        let (found, answer) = cluster.send(&ann, request).await;
        let said = answer["message"].as_str().unwrap_or_default();
        assert!(found == code && said.contains(message), "{found} {said}");
    };
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &vec![b' '; 8 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    check(
        "POST",
        "application/json",
        packed,
        400,
        "invalid character '\\x1f' looking for beginning of value",
    )
    .await;
    const PATCH: &str = "application/json-patch+json";
    let many = vec![json!({"op": "test", "path": "/data/a", "value": "x".repeat(10)}); 10_001];
    let too_many = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    check("PATCH", PATCH, json!(many).to_string().into(), 413, too_many).await;
    let doubling: Vec<Value> = (0..40)
        .map(|i| json!({"op": "copy", "from": "/data", "path": format!("/data/k{i}")}))
        .collect();
    check(
        "PATCH",
        PATCH,
        json!(doubling).to_string().into(),
        422,
        "the server rejected our request",
    )
    .await;
    cluster.works().await;
}
