//! Reads Go structs: which JSON name a field has, its protobuf number, whether it is a pointer, and
//! the default that a comment marks. Must never take over what comments say in prose.

use crate::{GeneratorError, facts, read};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Facts of a struct that Debian has no package for.
const EXTRA: &str = include_str!("../extra.go.txt");

/// Where structs come from, and how the definitions call their package.
const PACKAGES: [(&str, &str); 5] = [
    ("api", "io.k8s.api"),
    ("apimachinery/pkg/apis", "io.k8s.apimachinery.pkg.apis"),
    ("apimachinery/pkg/runtime", "io.k8s.apimachinery.pkg.runtime"),
    (
        "apiextensions-apiserver/pkg/apis/apiextensions",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    ),
    ("metrics/pkg/apis", "io.k8s.metrics.pkg.apis"),
];

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct GoField {
    /// Name in JSON; empty for a struct whose fields stand in line.
    pub json: String,
    /// Number in protobuf; 0 when it has none.
    pub number: u8,
    /// Go type, as written.
    pub go_type: String,
    /// Whether JSON leaves out the zero value.
    pub omit_empty: bool,
    /// The default that a comment marks, as JSON.
    pub default: Option<String>,
}

/// Structs by the name that the definitions have for them.
pub type Structs = HashMap<String, Vec<GoField>>;

/// Reads every file that a person wrote below the packages of `k8s.io/` in `root`.
pub fn read_all(root: &Path) -> Result<Structs, GeneratorError> {
    let mut structs = Structs::new();
    for (folder, prefix) in PACKAGES {
        let folder = root.join("k8s.io").join(folder);
        for file in go_files(&folder)? {
            let package = file
                .parent()
                .and_then(|parent| parent.strip_prefix(&folder).ok())
                .map(|below| below.to_string_lossy().replace('/', "."))
                .unwrap_or_default();
            let package =
                if package.is_empty() { prefix.to_owned() } else { format!("{prefix}.{package}") };
            let text = String::from_utf8_lossy(&read(&file)?).into_owned();
            read_file(&package, &text, &mut structs)?;
        }
    }
    read_file("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1", EXTRA, &mut structs)?;
    Ok(structs)
}

/// The files that declare types, in a stable order.
fn go_files(folder: &Path) -> Result<Vec<PathBuf>, GeneratorError> {
    let failed = |source| GeneratorError::File { path: folder.display().to_string(), source };
    let mut files = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(go_files(&path)?);
        } else if name.ends_with(".go")
            && !name.ends_with("_test.go")
            && !name.contains("generated")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Reads the structs of one file.
pub fn read_file(package: &str, text: &str, structs: &mut Structs) -> Result<(), GeneratorError> {
    let mut current: Option<(String, Vec<GoField>)> = None;
    let mut default = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) =
            line.strip_prefix("type ").and_then(|rest| rest.strip_suffix(" struct {"))
        {
            current = Some((format!("{package}.{name}"), Vec::new()));
        } else if line == "}" {
            if let Some((name, fields)) = current.take() {
                structs.insert(name, fields);
            }
        } else if let Some(marked) = line.strip_prefix("// +default=") {
            default = Some(marked.trim().to_owned());
        } else if line.starts_with("//") || line.is_empty() {
            continue;
        } else if let Some((name, fields)) = &mut current {
            if let Some(mut field) = read_field(line).map_err(|why| facts(&*name, why))? {
                field.default = default.take().filter(|text| !text.starts_with("ref("));
                fields.push(field);
            }
            default = None;
        }
    }
    Ok(())
}

/// `Name Type `json:"…" protobuf:"…"``; embedded structs have no name. `None` for fields that JSON
/// does not have.
fn read_field(line: &str) -> Result<Option<GoField>, String> {
    let Some((declaration, tags)) = line.split_once('`') else { return Ok(None) };
    let Some(json) = tag(tags, "json") else { return Ok(None) };
    let go_type = declaration.split_whitespace().last().ok_or("a field without a type")?;
    let (json, options) = json.split_once(',').unwrap_or((json, ""));
    if json == "-" {
        return Ok(None);
    }
    let number = match tag(tags, "protobuf").and_then(|tag| tag.split(',').nth(1)) {
        None => 0,
        Some(text) => text.parse().map_err(|_| format!("{json}: field number {text}"))?,
    };
    Ok(Some(GoField {
        json: json.to_owned(),
        number,
        go_type: go_type.to_owned(),
        omit_empty: options.contains("omitempty") || options.contains("omitzero"),
        default: None,
    }))
}

fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    let start = tags.find(&format!("{name}:\""))? + name.len() + 2;
    tags[start..].split('"').next()
}

/// Where a JSON field is in protobuf: the numbers of the structs that stand in line around it, then
/// its own, and the field.
pub fn find<'a>(
    structs: &'a Structs,
    type_name: &str,
    json: &str,
) -> Option<(Vec<u8>, &'a GoField)> {
    let fields = structs.get(type_name)?;
    if let Some(field) = fields.iter().find(|field| field.json == json) {
        return Some((vec![field.number], field));
    }
    let package = type_name.rsplit_once('.')?.0;
    for inline in fields.iter().filter(|field| field.json.is_empty() && field.number > 0) {
        let inner = match inline.go_type.rsplit_once('.') {
            None => format!("{package}.{}", inline.go_type),
            Some(("v1", name)) => format!("io.k8s.api.core.v1.{name}"),
            Some((_, name)) => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"),
        };
        if let Some((mut path, field)) = find(structs, &inner, json) {
            path.insert(0, inline.number);
            return Some((path, field));
        }
    }
    None
}
