//! `holm-image serve`: the server as a program of its own, for SQLite takes long to build.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use holm_serve::{Reports, Server, Site};

/// Serves an update repository, with a page of the fleet at / and metrics at /metrics.
#[derive(Debug, Parser)]
#[command(name = "holm-image serve", version)]
struct Arguments {
    /// Folder of the repository, as `holm-image publish` fills it
    #[arg(value_name = "DIR")]
    repository: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8480")]
    listen: SocketAddr,
    /// Certificate chain in PEM, for HTTPS
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// File for the nodes' reports [default: fleet.db in the current folder]
    #[arg(long, value_name = "FILE", default_value = "fleet.db", hide_default_value = true)]
    database: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            eprintln!("holm-image serve: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if !arguments.repository.join("metadata").is_dir() {
        return Err(format!("{} is no update repository", arguments.repository.display()).into());
    }
    let reports = Reports::open(&arguments.database)?;
    let site = Site::new(&arguments.repository, reports);
    let tls = arguments.certificate.as_deref().zip(arguments.key.as_deref());
    let server = Server::bind(arguments.listen, site, tls)?;
    let scheme = if arguments.certificate.is_some() { "https" } else { "http" };
    println!("{scheme}://{}/", server.address()?);
    Ok(server.run()?)
}
