//! `gantry image`: the images of this machine's node.

use gantry_node::containerd::Paths;
use gantry_node::image::{self, ImageError};
use std::path::PathBuf;

/// Options of `gantry image`.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    /// Where the cluster's data lives.
    #[arg(long, default_value = "/var/lib/gantry", global = true)]
    data_dir: PathBuf,
    /// Socket of the containerd that the node uses; by default gantry's own.
    #[arg(long, global = true)]
    containerd_endpoint: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Imports archives that `docker save` or OCI tools wrote, so that pods can use their images without a registry.
    Import {
        /// The archives: tar files, also compressed.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Lists the images that pods can use without a registry.
    Ls,
}

/// Why images could not be imported or listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime or an archive failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The system refused threads.
    #[error("the runtime could not start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs the command.
pub fn run(options: Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let own = || Paths::new(&options.data_dir.join("agent")).socket();
    let socket = options.containerd_endpoint.clone().unwrap_or_else(own);
    runtime.block_on(async {
        match &options.command {
            Command::Import { files } => {
                for file in files {
                    for name in image::import_image(&socket, file).await? {
                        println!("{name}");
                    }
                }
            }
            Command::Ls => {
                let images = image::list_images(&socket).await?;
                let rows = images.iter().flat_map(|image| {
                    let id = image.id.trim_start_matches("sha256:");
                    let row =
                        move |name: &String| (name.clone(), id[..id.len().min(12)].to_string(), image.size);
                    image.repo_tags.iter().map(row)
                });
                print!("{}", table(rows.collect()));
            }
        }
        Ok(())
    })
}

/// Rows of name, id and size in bytes, for people to read.
fn table(mut rows: Vec<(String, String, u64)>) -> String {
    rows.sort();
    let width = rows
        .iter()
        .map(|r| r.0.len())
        .max()
        .unwrap_or(0)
        .max("IMAGE".len());
    let mut text = format!("{:width$}   {:12}   SIZE\n", "IMAGE", "ID");
    for (name, id, size) in rows {
        let mib = size as f64 / f64::from(1 << 20);
        text += &format!("{name:width$}   {id:12}   {mib:.1} MiB\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_columns() {
        let rows = vec![
            ("b.example/web:1".into(), "0123456789ab".into(), 3 << 20),
            ("a:1".into(), "ff".into(), 700),
        ];
        assert_eq!(
            table(rows),
            "IMAGE             ID             SIZE\n\
             a:1               ff             0.0 MiB\n\
             b.example/web:1   0123456789ab   3.0 MiB\n"
        );
    }
}
