//! The server as client libraries of other languages see it: PyPI's kubernetes and npm's @kubernetes/client-node.

mod clients;
mod server;

use clients::Library;
use server::Server;
use std::process::Command;

#[test]
fn pythons_client_works() {
    check(clients::python(), "api.py");
}

#[test]
fn nodes_client_works() {
    check(clients::node(), "api.js");
}

fn check(library: Option<Library>, script: &str) {
    let Some(library) = library else { return };
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::start(data.path(), server::free_port(), &[]);
    library.check(script, server.kubeconfig().as_ref(), |program| {
        Command::new(program)
    });
}
