use super::super::spec::{VolumeMount, tests::pod};
use super::*;

fn paths(pods: &Path) -> Paths {
    Paths {
        pods: pods.to_owned(),
        logs: "/logs".into(),
        containers: "/containers".into(),
        list: "/list".into(),
        resolv_conf: "/resolv.conf".into(),
    }
}

fn with_volumes() -> Pod {
    let mut pod = pod(&[], &["web"]);
    let memory = Volume::EmptyDir { memory: true, size_limit: Some(1) };
    let host = Volume::HostPath { path: "/srv".into(), kind: HostPathType::DirectoryOrCreate };
    pod.volumes.insert("fast".into(), memory);
    pod.volumes.insert("host".into(), host);
    let mount = |volume: &str, sub_path: Option<&str>| VolumeMount {
        volume: volume.into(),
        path: "/mnt".into(),
        readonly: true,
        sub_path: sub_path.map(PathBuf::from),
        propagation: "rprivate",
    };
    pod.containers[0].mounts = vec![mount("fast", None), mount("host", Some("a/b"))];
    pod
}

#[test]
fn volumes_are_planned_by_their_kind() {
    let pod = Pod { fs_group: Some(7), ..with_volumes() };
    let paths = paths(Path::new("/data/pods"));
    let folder = paths.empty_dir(&pod.uid, "fast");
    assert_eq!(
        plan(&pod, &paths),
        [
            Step::Folder { path: folder.clone(), group: Some(7), tmpfs: Some(Some(1)) },
            Step::HostPath { path: "/srv".into(), kind: HostPathType::DirectoryOrCreate },
        ]
    );
    let bindings = bindings(&pod, &pod.containers[0], &paths);
    assert_eq!(bindings[0].mount.source, folder);
    assert!(bindings[0].mount.readonly && bindings[0].part.is_none());
    let place = paths.sub_path(&pod.uid, "web", 1);
    assert_eq!(bindings[1].part, Some(("a/b".into(), place)));
}

#[test]
fn host_paths_are_checked_and_made() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for kind in [HostPathType::Directory, HostPathType::File, HostPathType::Socket] {
        assert!(check_host_path(&at("none"), kind).is_err(), "{kind:?}");
    }
    check_host_path(&at("a/b"), HostPathType::DirectoryOrCreate).unwrap();
    check_host_path(&at("unset"), HostPathType::Unset).unwrap();
    check_host_path(&at("file"), HostPathType::FileOrCreate).unwrap();
    check_host_path(&at("file"), HostPathType::File).unwrap();
    check_host_path(&at("a/b"), HostPathType::Directory).unwrap();
    check_host_path(Path::new("/dev/null"), HostPathType::CharDevice).unwrap();
    let error = check_host_path(&at("file"), HostPathType::Directory).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not a folder", at("file").display()));
}

#[test]
fn folder_is_open_to_all_and_made_twice_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x/y");
    let step = [Step::Folder { path: path.clone(), group: None, tmpfs: None }];
    make(&step).unwrap();
    fs::write(path.join("kept"), "").unwrap();
    make(&step).unwrap();
    assert!(path.join("kept").exists());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
}

#[test]
fn part_of_a_volume_cannot_lead_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volume");
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("..", root.join("up")).unwrap();
    std::os::unix::fs::symlink("inside", root.join("link")).unwrap();
    for part in ["absolute", "absolute/passwd", "up", "up/volume", "../volume"] {
        assert!(open_beneath(&root, Path::new(part)).is_err(), "{part}");
    }
    open_beneath(&root, Path::new("inside/deeper")).unwrap();
    assert!(root.join("inside/deeper").is_dir());
    open_beneath(&root, Path::new("link/deeper")).unwrap();
}

#[test]
fn mount_points_are_unescaped() {
    let table = b"21 1 0:5 / /a\\040b rw - tmpfs t rw\n22 1 0:6 / /c\\134d rw - tmpfs t rw\nx\n";
    assert_eq!(mount_points(table), [Path::new("/a b"), Path::new("/c\\d")]);
    assert_eq!(unescape(b"\\04"), b"\\04");
    assert_eq!(unescape(b"\\777"), b"\\777");
}

#[test]
fn removing_a_folder_twice_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pod");
    fs::create_dir_all(folder.join("a/b")).unwrap();
    remove(&folder).unwrap();
    assert!(!folder.exists());
    remove(&folder).unwrap();
}

mod vm {
    use super::*;

    #[test]
    #[ignore = "needs root in a VM"]
    fn parts_and_tmpfs_are_mounted_and_removed_without_touching_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        let (srv, pods) = (dir.path().join("srv"), dir.path().join("pods"));
        fs::create_dir_all(srv.join("a/b")).unwrap();
        fs::write(srv.join("a/b/file"), "kept").unwrap();
        let mut pod = with_volumes();
        let host = Volume::HostPath { path: srv.clone(), kind: HostPathType::Directory };
        pod.volumes.insert("host".into(), host);
        let paths = paths(&pods);
        make(&plan(&pod, &paths)).unwrap();
        make(&plan(&pod, &paths)).unwrap();
        let fast = paths.empty_dir(&pod.uid, "fast");
        assert_eq!(mount_points_below(&fast).unwrap(), std::slice::from_ref(&fast));
        for _ in 0..2 {
            let mounts = resolve(bindings(&pod, &pod.containers[0], &paths)).unwrap();
            assert_eq!(fs::read(mounts[1].source.join("file")).unwrap(), b"kept");
        }
        remove(&paths.pod(&pod.uid)).unwrap();
        assert!(!paths.pod(&pod.uid).exists());
        assert_eq!(fs::read(srv.join("a/b/file")).unwrap(), b"kept");
        assert!(mount_points_below(dir.path()).unwrap().is_empty());
    }
}
