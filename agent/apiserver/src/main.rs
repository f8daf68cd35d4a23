//! The API server alone, on any Linux machine: for tests and benchmarks. On a node, the agent runs
//! the same server inside of itself.

use holm_apiserver::auth::User;
use holm_apiserver::serve::Listening;
use holm_apiserver::{Server, Settings, at_rest, kubeconfig};
use holm_store::{Sqlite, Store};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const USAGE: &str = "usage: holm-apiserver FOLDER ADDRESS:PORT [--plain]
  keeps its store and keys in FOLDER, and writes FOLDER/kubeconfig;
  --plain: without TLS, and everyone may do everything";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, address, plain) = match arguments.as_slice() {
        [folder, address] => (folder, address, false),
        [folder, address, "--plain"] => (folder, address, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let Ok(address) = address.parse() else {
        eprintln!("{address} is no address with a port");
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(PathBuf::from(folder), address, plain)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("holm-apiserver: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

async fn run(
    folder: PathBuf,
    address: SocketAddr,
    plain: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let (store, _) = Sqlite::open(&folder, at_rest::store_options())?;
    let store = Arc::new(store);
    let shared: Arc<dyn Store> = store.clone();
    let settings =
        Settings { keys: folder.join("keys"), names: Vec::new(), tokens: HashMap::new() };
    let server = Server::start(shared, settings).await?;
    let listening = match plain {
        true => Listening::plain(server.clone(), address).await?,
        false => Listening::tls(server.clone(), address).await?,
    };
    let address = listening.address()?;
    let text = match plain {
        true => kubeconfig::plain(&format!("http://{address}")),
        false => {
            let admin = User::new("kubernetes-admin", &["system:masters"]);
            kubeconfig::with_certificate(&server, &format!("https://{address}"), &admin)?
        }
    };
    std::fs::write(folder.join("kubeconfig"), text)?;
    println!("ready on {address}");
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    listening.run(stop, Duration::from_secs(5)).await;
    store.close().await?;
    Ok(())
}
