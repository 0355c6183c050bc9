//! The gantry binary: command line and composition.

mod agent;
mod bench;
mod cluster_dns;
mod datastore;
mod image;
mod kubeconfig;
mod options;
mod renewal;
mod server;
mod status;

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(
    name = "gantry",
    version,
    about = "Kubernetes 1.36 in one binary",
    args_override_self = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the control plane and, unless told otherwise, a node.
    #[command(args_override_self = true)]
    Server(Box<options::Options>),
    /// Measures an API server.
    Bench(bench::Options),
    /// Imports and lists the images of this machine's node.
    Image(image::Options),
    /// Says whether this machine's cluster works; can wait until it does.
    Status(status::Options),
    /// Removes what a node leaves running when its server has ended: pods, containerd, mounts and the rules for Services.
    Teardown {
        /// Where the cluster's data lives.
        #[arg(long, default_value = "/var/lib/gantry")]
        data_dir: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args_os().collect();
    let mut cli = Cli::parse_from(&args);
    if let Command::Server(options) = &cli.command
        && let Some(file) = &options.config
    {
        cli = Cli::parse_from(options::with_file::<Cli>(args, file)?);
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("GANTRY_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match cli.command {
        Command::Server(options) => Ok(server::run(*options)?),
        Command::Bench(options) => Ok(bench::run(options)?),
        Command::Image(options) => Ok(image::run(options)?),
        Command::Status(options) => Ok(status::run(options)?),
        Command::Teardown { data_dir } => Ok(agent::teardown(&data_dir)?),
    }
}
