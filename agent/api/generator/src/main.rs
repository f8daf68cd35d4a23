//! `holm-api-generator DEFINITIONS GO-SOURCES TABLE`: writes the table of the Kubernetes types.
//!
//! DEFINITIONS is the published JSON schema of all types, GO-SOURCES a folder that holds `k8s.io/`
//! with the Go packages whose struct tags name the protobuf fields. `generator/inputs` fetches both.
//! A table that already says the same is left alone.

#![forbid(unsafe_code)]

mod definitions;
mod go_structs;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [definitions, go, table] = arguments.as_slice() else {
        eprintln!("usage: holm-api-generator DEFINITIONS GO-SOURCES TABLE");
        return ExitCode::FAILURE;
    };
    match generate(Path::new(definitions), Path::new(go), Path::new(table)) {
        Ok(message) => {
            println!("{message}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("holm-api-generator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What stopped the generator.
#[derive(Debug, thiserror::Error)]
enum GeneratorError {
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Json { path: String, source: serde_json::Error },
    #[error("{place}: {problem}")]
    Facts { place: String, problem: String },
}

fn facts(place: impl Into<String>, problem: impl Into<String>) -> GeneratorError {
    GeneratorError::Facts { place: place.into(), problem: problem.into() }
}

fn read(path: &Path) -> Result<Vec<u8>, GeneratorError> {
    std::fs::read(path)
        .map_err(|source| GeneratorError::File { path: path.display().to_string(), source })
}

/// The table that the inputs amount to, not compressed.
fn build(definitions: &Path, go: &Path) -> Result<Vec<u8>, GeneratorError> {
    let structs = go_structs::read_all(go)?;
    let types = definitions::read(definitions, &structs)?;
    table::write(&types)
}

fn generate(definitions: &Path, go: &Path, output: &Path) -> Result<String, GeneratorError> {
    let table = build(definitions, go)?;
    let path = output.display();
    if std::fs::read(output).is_ok_and(|old| table::decompress(&old).as_deref() == Some(&table)) {
        return Ok(format!("{path} is as it should be ({} bytes)", table.len()));
    }
    let small = table::compress(&table);
    std::fs::write(output, &small)
        .map_err(|source| GeneratorError::File { path: path.to_string(), source })?;
    Ok(format!("wrote {path}: {} bytes, {} compressed", table.len(), small.len()))
}
