//! How a board file builds on its base: tables merge, lists grow, single values are replaced.
//! Must never know what a key means.

use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Error;

/// The file at `path` merged over its chain of bases.
pub fn flatten(path: &Path, text: &dyn Fn(&Path) -> io::Result<String>) -> Result<Table, Error> {
    let mut chain: Vec<PathBuf> = Vec::new();
    let mut merged = Table::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        if chain.contains(&path) {
            return Err(Error::Circle { path });
        }
        let source = text(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let invalid = |said: String| Error::Invalid { path: path.clone(), said };
        let mut table: Table = source.parse().map_err(|e| invalid(located(&source, &e)))?;
        next = match table.remove("base") {
            None => None,
            Some(Value::String(base)) => Some(path.with_file_name(base)),
            Some(other) => {
                return Err(invalid(format!("base must be a file name, not {}", other.type_str())));
            }
        };
        merged = merge(table, merged).map_err(|key| {
            invalid(format!("{key} has another type than in the file built upon this one"))
        })?;
        chain.push(path);
    }
    Ok(merged)
}

/// `over` merged over `base`. The error is the path of a key whose types differ.
pub fn merge(mut base: Table, over: Table) -> Result<Table, String> {
    for (key, value) in over {
        let merged = match (base.remove(&key), value) {
            (None, value) => value,
            (Some(Value::Table(below)), Value::Table(above)) => {
                Value::Table(merge(below, above).map_err(|inner| format!("{key}.{inner}"))?)
            }
            (Some(Value::Array(mut list)), Value::Array(more)) => {
                for item in more {
                    if !list.contains(&item) {
                        list.push(item);
                    }
                }
                Value::Array(list)
            }
            (Some(below), above) if below.same_type(&above) => above,
            _ => return Err(key),
        };
        base.insert(key, merged);
    }
    Ok(base)
}

fn located(source: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| source[..span.start].matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}
