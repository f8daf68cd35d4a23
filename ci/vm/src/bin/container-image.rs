//! Writes a container image of a static busybox and web pages, as a docker-archive.
//!
//! Must never need a container tool or the network.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

use holm_vm::archive;
use holm_vm::scenario::static_busybox;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [reference, out, pages @ ..] = arguments.as_slice() else {
        eprintln!("usage: container-image REFERENCE OUT [PAGE…]");
        return ExitCode::FAILURE;
    };
    match write(reference, Path::new(out), pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("container-image: {out}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(reference: &str, out: &Path, pages: &[String]) -> Result<(), Box<dyn Error>> {
    let mut contents = Vec::new();
    for page in pages {
        let name = Path::new(page).file_name().ok_or(format!("{page} is not a file"))?;
        let text = std::fs::read_to_string(page).map_err(|e| format!("cannot read {page}: {e}"))?;
        contents.push((name.to_string_lossy().into_owned(), text));
    }
    let pages: Vec<_> = contents.iter().map(|(name, text)| (&**name, &**text)).collect();
    let image = archive::busybox(reference, static_busybox()?, &pages);
    Ok(archive::write(&image, BufWriter::new(File::create(out)?))?)
}
