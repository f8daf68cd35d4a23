//! Who a container's process runs as: the configured [`User`] against the container's own
//! `/etc/passwd` and `/etc/group`.
//!
//! The files belong to the image, so they are hostile: bad lines are passed over, sizes are bounded,
//! and no link may lead out of the root. Never asks the C library, which would load modules from it.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::User;

/// No real `/etc/passwd` or `/etc/group` comes near to it.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A resolved user: numbers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, sorted, without repeats.
    pub additional_gids: Vec<u32>,
    /// Home folder, for `HOME`.
    pub home: String,
}

/// Why a user cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserError {
    /// The image names a user that its `/etc/passwd` lacks.
    #[error("user {0:?} is not in the image's /etc/passwd: name one that is, or set runAsUser")]
    UnknownUser(String),
    /// The image names a group that its `/etc/group` lacks.
    #[error("group {0:?} is not in the image's /etc/group: name one that is, or set runAsGroup")]
    UnknownGroup(String),
    /// `runAsNonRoot` and user 0.
    #[error("runAsNonRoot is set and the container would run as root: set runAsUser")]
    Root,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(PasswdEntry { name, uid, gid, home })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or("");
        Some(GroupEntry { name, gid, members })
    })
}

/// Resolves `user` against the text of `/etc/passwd` and `/etc/group` (empty when absent).
///
/// A word is a name first and a number second, as the engines have it. A number that
/// `/etc/passwd` does not know is fine: its group is 0 and its home is `/`.
pub fn resolve(user: &User, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (image_user, image_group) = match user.image.split_once(':') {
        Some((name, group)) => (name, group),
        None => (user.image.as_str(), ""),
    };
    let entry = match user.uid {
        Some(uid) => passwd_entries(passwd).find(|entry| entry.uid == uid),
        None if image_user.is_empty() => passwd_entries(passwd).find(|entry| entry.uid == 0),
        None => passwd_entries(passwd).find(|entry| entry.name == image_user).or_else(|| {
            let uid: u32 = image_user.parse().ok()?;
            passwd_entries(passwd).find(|entry| entry.uid == uid)
        }),
    };
    let uid = match (user.uid, &entry) {
        (Some(uid), _) => uid,
        (None, Some(entry)) => entry.uid,
        (None, None) if image_user.is_empty() => 0,
        (None, None) => {
            image_user.parse().map_err(|_| UserError::UnknownUser(image_user.to_owned()))?
        }
    };
    if user.must_not_be_root && uid == 0 {
        return Err(UserError::Root);
    }
    // runAsUser replaces the whole of the image's user, its group included.
    let image_group = if user.uid.is_some() { "" } else { image_group };
    let gid = match (user.gid, image_group) {
        (Some(gid), _) => gid,
        (None, "") => entry.as_ref().map_or(0, |entry| entry.gid),
        (None, name) => match group_entries(group).find(|entry| entry.name == name) {
            Some(entry) => entry.gid,
            None => name.parse().map_err(|_| UserError::UnknownGroup(name.to_owned()))?,
        },
    };
    let mut additional_gids = user.additional_gids.clone();
    if let Some(entry) = &entry {
        additional_gids.extend(
            group_entries(group)
                .filter(|group| group.members.split(',').any(|member| member == entry.name))
                .map(|group| group.gid),
        );
    }
    additional_gids.sort_unstable();
    additional_gids.dedup();
    let home = entry.map(|entry| entry.home).filter(|home| home.starts_with('/')).unwrap_or("/");
    Ok(Identity { uid, gid, additional_gids, home: home.to_owned() })
}

/// Reads a small text file below `root`, following links as the container would. Absent, unreadable
/// as text in part, or not a regular file: what can be read, or nothing.
///
/// # Errors
/// The file exists and cannot be read.
pub fn read_in_root(root: impl AsFd, path: &Path) -> std::io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd: OwnedFd = match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(fd) => fd,
        Err(
            rustix::io::Errno::NOENT
            | rustix::io::Errno::NOTDIR
            | rustix::io::Errno::LOOP
            | rustix::io::Errno::NXIO,
        ) => return Ok(String::new()),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    std::fs::File::from(fd).take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        broken line\nnumbers:x:notanumber:1:::\n\
        web:x:101:102:Web:/srv/web:/bin/false\n1000:x:55:66::/odd:\nhomeless:x:7:8:::\n";
    const GROUP: &str = "root:x:0:root\nweb:x:102:\nlogs:x:200:syslog,web\nmail:x:201:web,root\n";

    fn image(user: &str) -> User {
        User { image: user.to_owned(), ..User::default() }
    }

    fn ids(user: &User) -> (u32, u32, Vec<u32>) {
        let identity = resolve(user, PASSWD, GROUP).unwrap();
        (identity.uid, identity.gid, identity.additional_gids)
    }

    #[test]
    fn no_user_is_root_with_its_groups_and_home() {
        let identity = resolve(&image(""), PASSWD, GROUP).unwrap();
        assert_eq!(identity.home, "/root");
        assert_eq!(ids(&image("")), (0, 0, vec![0, 201]));
        let bare = resolve(&image(""), "", "").unwrap();
        assert_eq!((bare.uid, bare.gid, bare.home.as_str()), (0, 0, "/"));
    }

    #[test]
    fn a_name_gives_its_group_and_memberships() {
        assert_eq!(ids(&image("web")), (101, 102, vec![200, 201]));
        assert_eq!(resolve(&image("web"), PASSWD, GROUP).unwrap().home, "/srv/web");
    }

    #[test]
    fn a_number_is_looked_up_and_may_be_unknown() {
        assert_eq!(ids(&image("101")), (101, 102, vec![200, 201]));
        assert_eq!(ids(&image("4242")), (4242, 0, vec![]));
    }

    #[test]
    fn a_numeric_name_wins_over_the_number() {
        assert_eq!(ids(&image("1000")), (55, 66, vec![]));
    }

    #[test]
    fn an_explicit_group_is_a_name_or_a_number() {
        assert_eq!(ids(&image("web:logs")).1, 200);
        assert_eq!(ids(&image("web:77")).1, 77);
        assert_eq!(ids(&image("4242:web")), (4242, 102, vec![]));
        assert_eq!(
            resolve(&image("web:nobody"), PASSWD, GROUP),
            Err(UserError::UnknownGroup("nobody".into()))
        );
    }

    #[test]
    fn run_as_user_replaces_the_image_user_and_its_group() {
        let user = User { uid: Some(0), ..image("web:logs") };
        assert_eq!(ids(&user), (0, 0, vec![0, 201]));
        let user =
            User { uid: Some(9), gid: Some(10), additional_gids: vec![3, 1, 3], ..image("x") };
        assert_eq!(ids(&user), (9, 10, vec![1, 3]));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_what_to_do() {
        let error = resolve(&image("nobody"), PASSWD, GROUP).unwrap_err();
        assert_eq!(error, UserError::UnknownUser("nobody".into()));
        assert!(error.to_string().contains("runAsUser"));
    }

    #[test]
    fn must_not_be_root_refuses_every_way_to_be_root() {
        for user in [image(""), image("root"), image("0"), User { uid: Some(0), ..image("web") }] {
            let user = User { must_not_be_root: true, ..user };
            assert_eq!(resolve(&user, PASSWD, GROUP), Err(UserError::Root));
        }
        let user = User { must_not_be_root: true, ..image("web") };
        assert_eq!(ids(&user).0, 101);
    }

    #[test]
    fn a_missing_home_is_the_root_folder() {
        assert_eq!(resolve(&image("homeless"), PASSWD, GROUP).unwrap().home, "/");
    }

    #[test]
    fn links_cannot_lead_out_of_the_root() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("passwd"), "evil:x:0:0:::").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let open = || std::fs::File::open(root.path()).unwrap();
        let read = || read_in_root(open(), Path::new("etc/passwd")).unwrap();
        assert_eq!(read(), "");
        std::os::unix::fs::symlink(outside.path().join("passwd"), root.path().join("etc/passwd"))
            .unwrap();
        assert_eq!(read(), "");
        std::fs::remove_file(root.path().join("etc/passwd")).unwrap();
        std::fs::write(root.path().join("real"), "a:x:1:1:::").unwrap();
        std::os::unix::fs::symlink("/../../real", root.path().join("etc/passwd")).unwrap();
        assert_eq!(read(), "a:x:1:1:::");
    }

    #[test]
    fn what_is_not_a_file_reads_as_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/passwd")).unwrap();
        let open = std::fs::File::open(root.path()).unwrap();
        assert_eq!(read_in_root(open, Path::new("etc/passwd")).unwrap(), "");
    }
}
