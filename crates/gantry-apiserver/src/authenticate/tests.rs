use super::*;
use gantry_auth::MASTERS;
use gantry_auth::service_account::{Keys, Private, Reference, user_name};
use gantry_store::{Memory, Store};
use http::Request;
use serde_json::json;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn bearer_tokens() {
    let check = |value: &str, token: Option<&str>| {
        assert_eq!(bearer(&headers(&[("authorization", value)])), token, "{value}");
    };
    check("Bearer abc", Some("abc"));
    check("bearer abc ", Some("abc"));
    check("Bearer abc def", Some("abc"));
    check("Bearer  abc", None);
    check("Bearer", None);
    check("Basic abc", None);
}

#[test]
fn tokens_of_web_sockets() {
    let token = |text: &str| format!("{TOKEN_PROTOCOL}{}", URL_SAFE_NO_PAD.encode(text));
    let check = |protocols: &str, expected: Result<Option<(&str, &str)>, ()>| {
        let headers = headers(&[("upgrade", "WebSocket"), ("sec-websocket-protocol", protocols)]);
        let found = web_socket_token(&headers)
            .map(|found| found.map(|(token, rest)| (token, rest.to_str().unwrap().to_owned())))
            .map_err(|_| ());
        let expected = expected.map(|e| e.map(|(token, rest)| (token.to_owned(), rest.to_owned())));
        assert_eq!(found, expected, "{protocols}");
    };
    check(
        &format!("v5.channel.k8s.io, {}", token("abc")),
        Ok(Some(("abc", "v5.channel.k8s.io"))),
    );
    check("v5.channel.k8s.io", Ok(None));
    check(&token("abc"), Err(()));
    check(&format!("a, {}, {}", token("b"), token("c")), Err(()));
    check(&format!("a, {TOKEN_PROTOCOL}*"), Err(()));
    assert!(
        web_socket_token(&headers(&[("sec-websocket-protocol", &token("x"))]))
            .unwrap()
            .is_none()
    );
}

struct Fixture {
    authenticator: Authenticator,
    authorizer: Authorizer,
    tokens: Arc<Tokens>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    /// A server's authenticator over a store that holds the service account `ns/bot` with the UID 1.
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let pki = gantry_cluster::pki::Pki::open(folder.path(), &Default::default()).unwrap();
        let keys = Keys::from_pem(pki.service_account_key_pem(), &[]).unwrap();
        let tokens = Arc::new(Tokens::new("https://issuer", keys));
        let kinds = Arc::new(Served::new(gantry_api::kinds::builtin()));
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let account = json!({"metadata": {"name": "bot", "namespace": "ns", "uid": "1"}}).to_string();
        let key = "/registry/serviceaccounts/ns/bot";
        store.put(key.into(), account.into(), None).await.unwrap();
        let registry = Registry::new(store.clone());
        Fixture {
            authenticator: Authenticator::new(tokens.clone(), kinds.clone(), registry, Some("sesame".into())),
            authorizer: Authorizer::start(&store, &kinds.now()).await.unwrap(),
            tokens,
            _folder: folder,
        }
    }

    fn token(&self, uid: &str, audience: &str) -> String {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let claims = Claims {
            aud: vec![audience.into()],
            exp: now + 600,
            iat: now,
            nbf: now,
            sub: user_name("ns", "bot"),
            kubernetes: Private {
                namespace: "ns".into(),
                serviceaccount: Reference {
                    name: "bot".into(),
                    uid: uid.into(),
                },
                ..Private::default()
            },
            ..Claims::default()
        };
        self.tokens.sign(claims).unwrap()
    }
}

fn head(path: &str, pairs: &[(&'static str, &str)]) -> request::Parts {
    let (mut head, ()) = Request::builder().uri(path).body(()).unwrap().into_parts();
    head.headers = headers(pairs);
    head
}

#[tokio::test]
async fn who_sends_a_request() {
    let fixture = Fixture::new().await;
    let ann = Arc::new(User::new("ann", &[AUTHENTICATED]));
    let check =
        async |certificate: Option<&Arc<User>>, path: &str, authorization: &str, expected: Option<&str>| {
            let pairs = [("authorization", authorization)];
            let pairs = if authorization.is_empty() {
                &[][..]
            } else {
                &pairs[..]
            };
            let mut head = head(path, pairs);
            let found = fixture.authenticator.authenticate(certificate, &mut head).await;
            let name = found.as_ref().map(|user| user.name.as_str());
            assert_eq!(name.ok(), expected, "{path} {authorization}");
            match found {
                Ok(_) => assert!(!head.headers.contains_key(header::AUTHORIZATION), "{path}"),
                Err(status) => assert_eq!(status, Status::unauthorized(), "{path}"),
            }
        };
    let bearer = |token: &str| format!("Bearer {token}");
    let (bot, join) = ("system:serviceaccount:ns:bot", "system:bootstrap:gantry");
    let good = bearer(&fixture.token("1", "https://issuer"));
    check(Some(&ann), "/api", "", Some("ann")).await;
    check(Some(&ann), "/api", "Bearer wrong", Some("ann")).await;
    check(None, "/api", &good, Some(bot)).await;
    check(None, "/api", &good, Some(bot)).await;
    check(None, "/api", &bearer(&fixture.token("2", "https://issuer")), None).await;
    check(None, "/api", &bearer(&fixture.token("1", "elsewhere")), None).await;
    check(None, "/api", "Bearer sesame", Some(join)).await;
    check(None, "/api", "Bearer sesam", None).await;
    check(None, "/readyz", "Bearer wrong", None).await;
    check(None, "/readyz", "Basic x", None).await;
    check(None, "/readyz", "", Some("system:anonymous")).await;
    check(None, "/version", "", Some("system:anonymous")).await;
    check(None, "/api", "", None).await;
    check(None, "/readyz/..", "", None).await;
}

#[tokio::test]
async fn a_web_socket_hides_its_token() {
    let fixture = Fixture::new().await;
    let token = URL_SAFE_NO_PAD.encode(fixture.token("1", "https://issuer"));
    let protocols = format!("v5.channel.k8s.io,{TOKEN_PROTOCOL}{token}");
    let pairs = [
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", protocols.as_str()),
    ];
    let mut head = head("/api/v1/namespaces/ns/pods/p/exec", &pairs);
    let user = fixture.authenticator.authenticate(None, &mut head).await.unwrap();
    assert_eq!(user.name, "system:serviceaccount:ns:bot");
    assert_eq!(head.headers["sec-websocket-protocol"], "v5.channel.k8s.io");
}

#[tokio::test]
async fn acting_as_another_needs_leave() {
    let fixture = Fixture::new().await;
    let check = |groups: &[&str], pairs: &[(&'static str, &str)], expected: Result<&str, u16>| {
        let user = Arc::new(User::new("ann", groups));
        let mut headers = headers(pairs);
        let found = impersonate(user, &mut headers, &fixture.authorizer);
        let name = found.as_ref().map(|u| u.name.as_str()).map_err(|s| s.code);
        assert_eq!(name, expected, "{groups:?} {pairs:?}");
        assert!(name.is_err() || headers.is_empty(), "{headers:?}");
    };
    check(&[], &[], Ok("ann"));
    check(&[MASTERS], &[("impersonate-user", "bob")], Ok("bob"));
    check(&[], &[("impersonate-user", "bob")], Err(403));
    check(
        &[],
        &[("impersonate-user", "ann"), ("impersonate-group", MASTERS)],
        Err(403),
    );
    check(&[MASTERS], &[("impersonate-group", "dev")], Err(400));
    check(
        &[MASTERS],
        &[("impersonate-user", "bob"), ("impersonate-extra-a", "b")],
        Ok("bob"),
    );
}
