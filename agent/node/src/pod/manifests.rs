//! Reads manifest files and folders, and decides which pods are wanted. A file that cannot be
//! read or understood never ends a pod that runs: its last good version stays.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::admit::admit;
use super::document::{self, Node};
use super::fields::Problem;
use super::records::{Manifest, Record};
use super::spec::Pod;

/// One file, with the pods that it asks for or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// Its path.
    pub source: String,
    /// All of its documents, or none of them.
    pub pods: Result<Vec<Wanted>, Vec<Problem>>,
}

/// A pod that shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The pod.
    pub pod: Pod,
    /// Its document and where it came from.
    pub manifest: Manifest,
}

/// Something that keeps a file's pods from being taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The file or folder.
    pub source: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Reads all files. A missing folder is an empty one, unless the folder that should hold it is
/// empty: then the file system that carries both is not mounted, which is a problem.
pub fn read_all(places: &[PathBuf], node_name: &str) -> Vec<ManifestFile> {
    let mut files = Vec::new();
    for place in places {
        match files_of(place) {
            Ok(paths) => files.extend(paths.iter().map(|path| read_file(path, node_name))),
            Err(error) => files.push(unreadable(place, &error)),
        }
    }
    // A file that is named twice is one file.
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.source.clone()));
    files
}

fn unreadable(path: &Path, error: &io::Error) -> ManifestFile {
    let problem =
        Problem { line: 0, path: String::new(), message: format!("cannot be read: {error}") };
    ManifestFile { source: path.display().to_string(), pods: Err(vec![problem]) }
}

fn files_of(place: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(vec![place.to_owned()]);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = place.parent().unwrap_or(Path::new("/"));
            return if is_empty(parent) {
                Err(io::Error::new(io::ErrorKind::NotFound, "nothing is mounted there"))
            } else {
                Ok(Vec::new())
            };
        }
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_manifest_name(&path) && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// Files that editors and other systems leave behind have other names, or begin with a dot.
fn is_manifest_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    known && !name.starts_with('.')
}

fn read_file(path: &Path, node_name: &str) -> ManifestFile {
    let read = || {
        let file = fs::File::open(path)?;
        if !file.metadata()?.is_file() {
            // A pipe would never end.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut text = Vec::new();
        file.take(document::MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => {
            let source = path.display().to_string();
            ManifestFile { pods: understand(&text, &source, node_name), source }
        }
        Err(error) => unreadable(path, &error),
    }
}

fn understand(text: &[u8], source: &str, node_name: &str) -> Result<Vec<Wanted>, Vec<Problem>> {
    let nodes = document::read(text).map_err(|error| {
        vec![Problem { line: error.line, path: String::new(), message: error.message }]
    })?;
    let (mut pods, mut problems) = (Vec::new(), Vec::new());
    for node in &nodes {
        match admit(node, source, node_name) {
            Ok(pod) => {
                let manifest = Manifest { source: source.to_owned(), pod: node.to_json() };
                pods.push(Wanted { pod, manifest });
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(pods) } else { Err(problems) }
}

/// The pod of a saved manifest, if it still makes sense.
pub fn from_record(record: &Record, node_name: &str) -> Option<Wanted> {
    let manifest = record.manifest.clone()?;
    let mut pod = admit(&Node::from_json(&manifest.pod), &manifest.source, node_name).ok()?;
    // An update of Holm may compute identities in another way; the record's name is the truth.
    pod.uid.clone_from(&record.uid);
    Some(Wanted { pod, manifest })
}

/// Decides which pods shall run. `known` are those of the last decision, or of the records.
pub fn decide(files: Vec<ManifestFile>, known: &[Wanted]) -> (Vec<Wanted>, Vec<FileProblem>) {
    let (mut wanted, mut problems): (Vec<Wanted>, Vec<FileProblem>) = Default::default();
    let mut take = |candidate: Wanted, problems: &mut Vec<FileProblem>| {
        let name = candidate.pod.full_name();
        match wanted.iter().find(|other| other.pod.full_name() == name) {
            None => wanted.push(candidate),
            Some(other) => problems.push(FileProblem {
                source: candidate.manifest.source,
                problem: Problem {
                    line: 0,
                    path: "metadata.name".to_owned(),
                    message: format!("{} has a pod {name} already", other.manifest.source),
                },
            }),
        }
    };
    for file in files {
        match file.pods {
            Ok(pods) => pods.into_iter().for_each(|pod| take(pod, &mut problems)),
            Err(found) => {
                let source = &file.source;
                let kept = known.iter().filter(|pod| is_from(&pod.manifest.source, source));
                kept.cloned().for_each(|pod| take(pod, &mut problems));
                let problem = |problem| FileProblem { source: source.clone(), problem };
                problems.extend(found.into_iter().map(problem));
            }
        }
    }
    (wanted, problems)
}

/// The file itself, or one of an unreadable folder.
fn is_from(file: &str, source: &str) -> bool {
    Path::new(file).starts_with(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, image: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
             spec: {{containers: [{{name: main, image: '{image}:1'}}]}}\n"
        )
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn decide(&self, known: &[Wanted]) -> (Vec<Wanted>, Vec<FileProblem>) {
            decide(read_all(&[self.0.path().join("manifests")], "node"), known)
        }
    }

    fn names(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().map(|wanted| wanted.pod.name.as_str()).collect()
    }

    #[test]
    fn every_document_of_every_manifest_is_a_pod() {
        let folder = Folder::new();
        folder.write("manifests/b.yaml", &format!("{}---\n{}", pod("one", "a"), pod("two", "a")));
        folder.write(
            "manifests/a.JSON",
            &serde_json::to_string(
                &document::read(pod("json", "a").as_bytes()).unwrap()[0].to_json(),
            )
            .unwrap(),
        );
        for ignored in [".hidden.yaml", "web.yaml~", "notes.txt", "sub/c.yaml"] {
            folder.write(&format!("manifests/{ignored}"), "not a manifest");
        }
        let (wanted, problems) = folder.decide(&[]);
        assert_eq!(names(&wanted), ["json-node", "one-node", "two-node"]);
        assert_eq!(problems, []);
    }

    #[test]
    fn broken_file_keeps_its_last_good_pods_and_disturbs_no_other() {
        let folder = Folder::new();
        folder.write("manifests/a.yaml", &pod("good", "a"));
        folder.write("manifests/b.yaml", &pod("edited", "a"));
        let (before, _) = folder.decide(&[]);
        folder.write("manifests/b.yaml", &pod("edited", "a").replace("image", "imag"));
        let (after, problems) = folder.decide(&before);
        assert_eq!(after, before);
        assert_eq!(problems[0].problem.line, 4);
        assert!(problems[0].source.ends_with("manifests/b.yaml"));
        // Without a last good version there is nothing to keep.
        assert_eq!(names(&folder.decide(&[]).0), ["good-node"]);
        folder.write("manifests/b.yaml", &pod("edited", "b"));
        let (mended, problems) = folder.decide(&after);
        assert_eq!(problems, []);
        assert_ne!(mended[1].pod.uid, before[1].pod.uid);
    }

    #[test]
    fn removed_file_ends_its_pods() {
        let folder = Folder::new();
        folder.write("manifests/a.yaml", &pod("web", "a"));
        let (before, _) = folder.decide(&[]);
        fs::remove_file(folder.0.path().join("manifests/a.yaml")).unwrap();
        assert_eq!(folder.decide(&before).0, []);
    }

    #[test]
    fn folder_that_is_not_mounted_ends_nothing() {
        let folder = Folder::new();
        folder.write("manifests/a.yaml", &pod("web", "a"));
        let (before, _) = folder.decide(&[]);
        fs::remove_dir_all(folder.0.path().join("manifests")).unwrap();
        let (after, problems) = folder.decide(&before);
        assert_eq!(after, before);
        assert!(problems[0].problem.message.contains("nothing is mounted there"));
        folder.write("holm.toml", "");
        assert_eq!(folder.decide(&before), (vec![], vec![]));
    }

    #[test]
    fn second_pod_of_the_same_name_is_refused() {
        let folder = Folder::new();
        folder.write("manifests/a.yaml", &pod("web", "a"));
        folder.write("manifests/b.yaml", &pod("web", "b"));
        let (wanted, problems) = folder.decide(&[]);
        assert_eq!(names(&wanted), ["web-node"]);
        assert!(problems[0].source.ends_with("b.yaml"));
        assert!(problems[0].problem.message.ends_with("a.yaml has a pod default/web-node already"));
    }

    #[test]
    fn saved_manifest_makes_the_same_pod_again() {
        let folder = Folder::new();
        folder.write("manifests/a.yaml", &pod("web", "a"));
        let wanted = folder.decide(&[]).0.remove(0);
        let record = Record {
            uid: wanted.pod.uid.clone(),
            manifest: Some(wanted.manifest.clone()),
            memory: None,
        };
        assert_eq!(from_record(&record, "node"), Some(wanted));
        assert_eq!(from_record(&Record { manifest: None, ..record }, "node"), None);
    }

    #[test]
    fn single_file_and_special_files_are_understood_as_such() {
        let folder = Folder::new();
        folder.write("web.yaml", &pod("web", "a"));
        let path = folder.0.path().join("web.yaml");
        let files = read_all(&[path.clone(), path], "node");
        assert_eq!(files.len(), 1);
        let device = read_file(Path::new("/dev/zero"), "node");
        assert!(device.pods.unwrap_err()[0].message.contains("not a regular file"));
    }
}
