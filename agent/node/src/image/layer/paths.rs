//! Names in an archive as safe paths in a layer, symbolic links on the way resolved inside it.
//!
//! Pure: what is there comes in as a function. Must never yield a path with `..` in it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::image::disk::Kind;

use super::plan::{Action, Looked, Refusal};

/// As many links as Linux follows.
const LINKS_LIMIT: usize = 40;
const NAME_LIMIT: usize = 255;

/// The path without leading slash, `.` and empty parts. Climbing is refused, not cleaned away: no
/// honest archive has it.
pub(crate) fn parse(raw: &[u8]) -> Result<PathBuf, Refusal> {
    let mut path = PathBuf::new();
    for part in raw.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Refusal::Climbs),
            _ if part.len() > NAME_LIMIT => return Err(Refusal::NameTooLong),
            _ if part.contains(&0) => return Err(Refusal::Nul),
            _ => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

/// Where the folder `path` really is. What is missing on the way is planned in `actions`, unless
/// that is `None`, when it is an error.
pub(crate) fn settle(
    path: &Path,
    look: &mut dyn FnMut(&Path) -> Looked,
    mut actions: Option<&mut Vec<Action>>,
) -> Result<PathBuf, Refusal> {
    let mut pending: VecDeque<Vec<u8>> = parts(path.as_os_str().as_bytes());
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(part) = pending.pop_front() {
        if part == b".." {
            // Only links bring these in. The layer's folder is its own parent.
            at.pop();
            continue;
        }
        let next = at.join(OsStr::from_bytes(&part));
        let there = look_after(actions.as_deref().map_or(&[], Vec::as_slice), &next, look)?;
        match (there, actions.as_deref_mut()) {
            (Some(Kind::Directory), _) => at = next,
            (Some(Kind::Symlink(target)), _) => {
                links += 1;
                if links > LINKS_LIMIT {
                    return Err(Refusal::LinkLoop);
                }
                if target.starts_with(b"/") {
                    at = PathBuf::new();
                }
                let mut through = parts(&target);
                through.append(&mut pending);
                pending = through;
            }
            (None, Some(actions)) => {
                actions.push(Action::ImplyDir(next.clone()));
                at = next;
            }
            // The name was removed from the layers below and now comes back: nothing of the old
            // folder may shine through.
            (Some(Kind::Whiteout), Some(actions)) => {
                actions.push(Action::Remove(next.clone()));
                actions.push(Action::ImplyDir(next.clone()));
                actions.push(Action::Opaque(next.clone()));
                at = next;
            }
            (None | Some(Kind::Whiteout), None) => return Err(Refusal::Missing(next)),
            (Some(Kind::File | Kind::Special), _) => return Err(Refusal::NotAFolder(next)),
        }
    }
    Ok(at)
}

/// What will be at `path` when `actions` are done.
pub(crate) fn look_after(
    actions: &[Action],
    path: &Path,
    look: &mut dyn FnMut(&Path) -> Looked,
) -> Looked {
    let made = actions.iter().rev().find_map(|action| match action {
        Action::ImplyDir(made) if path == made => Some(Some(Kind::Directory)),
        Action::ImplyDir(made) if path.starts_with(made) => Some(None),
        _ => None,
    });
    made.map_or_else(|| look(path), Ok)
}

fn parts(path: &[u8]) -> VecDeque<Vec<u8>> {
    let wanted = |part: &&[u8]| !matches!(*part, b"" | b".");
    path.split(|&b| b == b'/').filter(wanted).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(entries: &[(&str, Kind)]) -> BTreeMap<PathBuf, Kind> {
        entries.iter().map(|(path, kind)| (PathBuf::from(path), kind.clone())).collect()
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink(target.as_bytes().to_vec())
    }

    fn real(path: &str, tree: &BTreeMap<PathBuf, Kind>) -> Result<PathBuf, Refusal> {
        settle(Path::new(path), &mut |p| Ok(tree.get(p).cloned()), None)
    }

    #[test]
    fn names_are_cleaned_but_never_climb() {
        assert_eq!(parse(b"./a//b/./c/").unwrap(), Path::new("a/b/c"));
        assert_eq!(parse(b"/etc/passwd").unwrap(), Path::new("etc/passwd"));
        assert_eq!(parse(b"./").unwrap(), Path::new(""));
        for bad in [&b"../a"[..], b"a/../b", b"a/..", b"..", b"/../../etc"] {
            assert_eq!(parse(bad), Err(Refusal::Climbs));
        }
        assert_eq!(parse(b"a\0b"), Err(Refusal::Nul));
        assert_eq!(parse(&[b'x'; 256]), Err(Refusal::NameTooLong));
    }

    #[test]
    fn links_resolve_inside_the_layer() {
        let tree = tree(&[
            ("usr", Kind::Directory),
            ("usr/lib", Kind::Directory),
            ("lib", link("usr/lib")),
            ("abs", link("/usr/lib")),
            ("out", link("../../../../usr")),
            ("evil", link("/../../..")),
        ]);
        assert_eq!(real("lib", &tree).unwrap(), Path::new("usr/lib"));
        assert_eq!(real("abs", &tree).unwrap(), Path::new("usr/lib"));
        assert_eq!(real("out/lib", &tree).unwrap(), Path::new("usr/lib"));
        assert_eq!(real("evil/usr", &tree).unwrap(), Path::new("usr"));
    }

    #[test]
    fn link_loops_end() {
        let tree = tree(&[("a", link("b")), ("b", link("a"))]);
        assert_eq!(real("a", &tree), Err(Refusal::LinkLoop));
    }

    #[test]
    fn folder_behind_dangling_link_is_planned_at_its_target() {
        let tree = tree(&[("var", Kind::Directory), ("var/run", link("/run"))]);
        let mut actions = Vec::new();
        let mut look = |p: &Path| Ok(tree.get(p).cloned());
        let at = settle(Path::new("var/run/x"), &mut look, Some(&mut actions)).unwrap();
        assert_eq!(at, Path::new("run/x"));
        assert_eq!(actions, [Action::ImplyDir("run".into()), Action::ImplyDir("run/x".into())]);
    }

    #[test]
    fn file_in_the_place_of_a_parent_is_refused() {
        let tree = tree(&[("a", Kind::File)]);
        let mut actions = Vec::new();
        let mut look = |p: &Path| Ok(tree.get(p).cloned());
        let refused = settle(Path::new("a/b"), &mut look, Some(&mut actions));
        assert_eq!(refused, Err(Refusal::NotAFolder("a".into())));
    }
}
