//! Stacked layers, seen as overlayfs merges them, against a model that applies each archive to one
//! tree in order, as the OCI image specification tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::image::disk::Disk;
use crate::image::disk::Node;
use crate::image::disk::fake::{Body, FakeDisk};
use crate::image::limits::Limits;
use crate::image::tar::Entries;
use crate::image::testing::Tarball;

use super::unpack;

/// What a process sees at a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Folder,
    File(Vec<u8>),
}

pub(crate) type View = BTreeMap<PathBuf, Seen>;

#[derive(Debug, Clone)]
enum Op {
    Folder(PathBuf),
    File(PathBuf, u8),
    Whiteout(PathBuf),
    Opaque(PathBuf),
}

/// Applies a layer to what is below: whiteouts first, for they speak of the layers below only.
fn model(below: &View, ops: &[Op]) -> View {
    let mut view = below.clone();
    for op in ops {
        match op {
            Op::Whiteout(path) => view.retain(|at, _| !at.starts_with(path)),
            Op::Opaque(folder) => view.retain(|at, _| at == folder || !at.starts_with(folder)),
            _ => {}
        }
    }
    for op in ops {
        let (path, seen) = match op {
            Op::Folder(path) => (path, Some(Seen::Folder)),
            Op::File(path, n) => (path, Some(Seen::File(vec![*n]))),
            Op::Whiteout(path) => (path, None),
            Op::Opaque(folder) => (folder, Some(Seen::Folder)),
        };
        for parent in path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
            if view.get(parent) != Some(&Seen::Folder) {
                view.insert(parent.to_owned(), Seen::Folder);
            }
        }
        match seen {
            Some(Seen::Folder) if !path.as_os_str().is_empty() => {
                view.insert(path.clone(), Seen::Folder);
            }
            Some(file @ Seen::File(_)) => {
                view.retain(|at, _| !at.starts_with(path));
                view.insert(path.clone(), file);
            }
            _ => {}
        }
    }
    view
}

/// Merges folders as overlayfs does.
fn overlay(disk: &FakeDisk, layers: &[String]) -> View {
    let mut view = View::new();
    for layer in layers {
        let dump = disk.dump(Path::new(layer));
        for (path, (body, meta)) in &dump {
            let opaque = meta.xattrs.iter().any(|(name, _)| name == "trusted.overlay.opaque");
            match body {
                Body::Directory(_) => {
                    if opaque || matches!(view.get(path), Some(Seen::File(_))) {
                        view.retain(|at, _| !at.starts_with(path));
                    }
                    if !path.as_os_str().is_empty() {
                        view.insert(path.clone(), Seen::Folder);
                    }
                }
                Body::Node(Node::Char { major: 0, minor: 0 }) => {
                    view.retain(|at, _| !at.starts_with(path));
                }
                Body::File { bytes, .. } => {
                    view.retain(|at, _| !at.starts_with(path));
                    view.insert(path.clone(), Seen::File(bytes.clone()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    view
}

fn archive(ops: &[Op]) -> Vec<u8> {
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let mark = |path: &Path, mark: &str| name(&path.join(mark));
    ops.iter()
        .fold(Tarball::new(), |tar, op| match op {
            Op::Folder(path) => tar.dir(&name(path)),
            Op::File(path, n) => tar.file(&name(path), &[*n]),
            Op::Opaque(path) => tar.file(&mark(path, ".wh..wh..opq"), b""),
            Op::Whiteout(path) => {
                let hidden = path.file_name().unwrap().to_str().unwrap();
                tar.file(&mark(path.parent().unwrap(), &format!(".wh.{hidden}")), b"")
            }
        })
        .finish()
}

/// A name at which an archive has both a file and something that needs a folder is not an honest
/// layer: the file stays, the rest goes.
fn honest(ops: Vec<Op>) -> Vec<Op> {
    let files: BTreeSet<PathBuf> = ops
        .iter()
        .filter_map(|op| if let Op::File(p, _) = op { Some(p.clone()) } else { None })
        .collect();
    let under_file = |path: &Path, itself: bool| {
        path.ancestors().skip(usize::from(!itself)).any(|p| files.contains(p))
    };
    ops.into_iter()
        .filter(|op| match op {
            Op::Folder(path) | Op::Opaque(path) => !under_file(path, true),
            Op::File(path, _) | Op::Whiteout(path) => !under_file(path, false),
        })
        .collect()
}

fn path() -> impl Strategy<Value = PathBuf> {
    proptest::collection::vec("[abc]", 1..4).prop_map(|parts| parts.iter().collect())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => path().prop_map(Op::Folder),
        3 => (path(), any::<u8>()).prop_map(|(path, n)| Op::File(path, n)),
        2 => path().prop_map(Op::Whiteout),
        1 => path().prop_map(Op::Opaque),
    ]
}

/// Archives of some layers, and what a container must see of them.
pub(crate) fn archives() -> impl Strategy<Value = (Vec<Vec<u8>>, View)> {
    proptest::collection::vec(proptest::collection::vec(op(), 0..10), 1..4).prop_map(|layers| {
        let layers: Vec<_> = layers.into_iter().map(honest).collect();
        let seen = layers.iter().fold(View::new(), |below, ops| model(&below, ops));
        (layers.iter().map(|ops| archive(ops)).collect(), seen)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn stacked_layers_look_as_the_specification_says(
        layers in proptest::collection::vec(proptest::collection::vec(op(), 0..10), 1..4)
    ) {
        let disk = FakeDisk::new();
        let mut expected = View::new();
        let mut names = Vec::new();
        for (n, ops) in layers.into_iter().map(honest).enumerate() {
            let name = n.to_string();
            disk.make_dir(Path::new(&name)).unwrap();
            let tar = archive(&ops);
            let mut tree = disk.tree(Path::new(&name)).unwrap();
            unpack(&mut Entries::new(&tar[..]), &mut *tree, &Limits::default(), &mut |_| Ok(()))
                .unwrap();
            names.push(name);
            expected = model(&expected, &ops);
            prop_assert_eq!(overlay(&disk, &names), expected.clone(), "layer {} of {:?}", n, ops);
        }
    }
}
