//! `gantry bench api` against the built server.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("the server can be killed");
        self.0.wait().expect("the server can be waited for");
    }
}

#[test]
fn every_part_is_measured_and_nothing_is_left() {
    let data = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    drop(taken);
    let gantry = env!("CARGO_BIN_EXE_gantry");
    let server = Command::new(gantry)
        .args([
            "server",
            "--disable-agent",
            "--bind-address",
            "127.0.0.1",
            "--https-port",
            &port,
        ])
        .arg("--data-dir")
        .arg(data.path())
        .stderr(Stdio::null())
        .spawn()
        .expect("gantry starts");
    let server = Server(server);
    let kubeconfig = data.path().join("admin.kubeconfig");
    let bench = |args: &[&str]| {
        let mut command = Command::new(gantry);
        command
            .args(["bench", "api", "--kubeconfig"])
            .arg(&kubeconfig)
            .args(args);
        let output = command.output().expect("gantry runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            text,
        )
    };
    let small = [
        "--count",
        "30",
        "--lists",
        "4",
        "--connections",
        "4",
        "--watchers",
        "3",
        "--changes",
        "5",
    ];
    let end = Instant::now() + Duration::from_secs(30);
    let json = loop {
        let (done, out, error) = bench(&[&small[..], &["--output", "json"]].concat());
        if done {
            break out;
        }
        assert!(Instant::now() < end, "not in 30 s: {error}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let figures: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let rows = figures.as_array().expect("a list");
    assert_eq!(rows.len(), 9, "{json}");
    for row in rows {
        assert_eq!(
            (&row["failed"], &row["failure"]),
            (&0.into(), &serde_json::Value::Null),
            "{row}"
        );
        assert!(
            row["p99"].as_f64() >= row["p50"].as_f64() && row["p50"].as_f64() > Some(0.0),
            "{row}"
        );
    }
    let watch = rows
        .iter()
        .find(|r| r["name"].as_str().is_some_and(|n| n.starts_with("watch")));
    assert_eq!(watch.expect("the watch")["requests"], 3 * 5 * 10);

    let file = data.path().join("figures.json");
    std::fs::write(&file, &json).expect("a file");
    let file = file.display().to_string();
    let (done, table, error) = bench(&[&small[..], &["--only", "get", "--compare", &file]].concat());
    assert!(
        done && table.contains("P99 TIMES") && table.lines().count() == 2,
        "{table}{error}"
    );
    let mut churn = Command::new(gantry);
    churn
        .args([
            "bench",
            "churn",
            "--rate",
            "20",
            "--live",
            "100",
            "--seconds",
            "1",
        ])
        .args(["--rounds", "2", "--kubeconfig"])
        .arg(&kubeconfig)
        .arg("--pid")
        .arg(server.0.id().to_string())
        .arg("--store")
        .arg(data.path().join("store"));
    let output = churn.output().expect("gantry runs");
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(table.lines().count(), 4, "{table}{output:?}");
    assert!(
        table
            .lines()
            .next()
            .is_some_and(|l| l.ends_with("MOST MB   STORE MB"))
    );
    assert!(table.contains("round 2         40        0"), "{table}");
    let (done, _, error) = bench(&["--only", "get", "--kubeconfig", "/nowhere"]);
    assert!(!done && error.contains("/nowhere cannot be read"), "{error}");
}
