//! No more files can be opened: who comes then waits, and is served when there are some again.
//!
//! The only test of its binary, for it limits how many files this process may have open.

mod common;

use gantry_apiserver::Server;
use gantry_cluster::pki::{Pki, ServerNames};
use gantry_store::Memory;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// No file may have a higher number.
fn limit_files(most: u64) {
    // SAFETY: the calls read or write the value they are given and change only this process's own settings.
    let set = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = most;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(set, 0);
}

/// Whether the server closes what is not TLS. It does so only with connections that it accepted.
async fn is_served(mut stream: TcpStream) -> bool {
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"this is not TLS\r\n\r\n").await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await.is_ok()
}

#[tokio::test]
async fn serving_resumes_when_there_are_files_again() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::open(folder.path(), &ServerNames::default()).unwrap();
    let server = Server::new(Arc::new(Memory::new()), common::config(&pki))
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    assert!(is_served(TcpStream::connect(address).await.unwrap()).await);

    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    limit_files(open + 20);
    // Both ends of a connection are files of this process: this end takes what there is.
    let mut taken = Vec::new();
    while let Ok(stream) = TcpStream::connect(address).await {
        taken.push(stream);
        assert!(taken.len() < 1_000, "the limit on files does not work");
    }
    // The server tries again and again, and does nothing else with its time.
    let waiting = taken.pop().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    limit_files(open + 200);
    assert!(is_served(waiting).await);
    assert!(is_served(TcpStream::connect(address).await.unwrap()).await);
}
