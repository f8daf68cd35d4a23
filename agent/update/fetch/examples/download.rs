//! Fetches a release as a node does and says what it cost; writes nothing but the metadata.
//!
//! usage: download PLACE ROOT.json BOARD VERSION [SEED…]

use std::error::Error;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use holm_fetch::{Client, Seed, Settings};
use holm_payload::chunk::Hash;
use holm_update::payload::Source;
use holm_update::slot::Slot;
use jiff::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, root, board, version, seeds @ ..] = arguments.as_slice() else {
        return Err("usage: download PLACE ROOT.json BOARD VERSION [SEED…]".into());
    };
    let state = std::env::temp_dir().join(format!("holm-download-{}", std::process::id()));
    let settings = Settings { places: vec![place.clone()], ..Settings::default() };
    let client = Client::new(settings, std::fs::read(root)?, &state)?;
    let began = Instant::now();
    let trusted = client.refresh(Timestamp::now(), |error| eprintln!("{error}"))?;
    let metadata = client.traffic().received();
    let seeds: Vec<Seed> =
        seeds.iter().map(|path| Seed { path: PathBuf::from(path), length: None }).collect();
    let (download, unreadable) =
        client.download(&trusted, &format!("{board}/{version}/index"), &seeds)?;
    for (path, error) in unreadable {
        eprintln!("{}: {error}", path.display());
    }
    let index = client.traffic().received() - metadata;
    let mut piece = vec![0; 64 << 10];
    for part in download.payload(Slot::B)?.parts {
        let (mut reader, mut hash) = (download.open(&part, 0)?, Hash::default());
        loop {
            match reader.read(&mut piece)? {
                0 => break,
                count => hash.update(&piece[..count]),
            }
        }
        if hash.finish() != part.sha256 {
            return Err("a part is not what was signed".into());
        }
    }
    let traffic = client.traffic();
    let data = traffic.received() - metadata - index;
    let full = download.full_length(Slot::B);
    println!("metadata {metadata} B, index {index} B, data {data} B of {full} B");
    println!("{:.1}% of a full download", (index + data) as f64 * 100.0 / (index + full) as f64);
    println!("{} requests, {} ms", traffic.requests(), began.elapsed().as_millis());
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("peak memory {}", peak.trim_start_matches("VmHWM:").trim());
    std::fs::remove_dir_all(&state)?;
    Ok(())
}
