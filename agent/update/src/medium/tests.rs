//! Against folders of the host: the order of remounts and writes, and what failures leave behind.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::autoboot::Autoboot;

fn boot_with(files: &[&str]) -> tempfile::TempDir {
    let boot = tempfile::tempdir().unwrap();
    fs::create_dir_all(boot.path().join("EFI/Linux")).unwrap();
    for name in files {
        fs::write(boot.path().join("EFI/Linux").join(name), name).unwrap();
    }
    boot
}

fn names(boot: &Path) -> Vec<String> {
    let mut names = read_names(&boot.join("EFI/Linux")).unwrap();
    names.sort();
    names
}

fn medium(
    boot: &Path,
    kind: Kind,
    remount: impl Fn(&Path, bool) -> io::Result<()> + 'static,
) -> Medium {
    Medium { mount: boot.to_owned(), kind, remount: Box::new(remount) }
}

#[test]
fn counter_is_removed_between_two_remounts() {
    let boot = boot_with(&["holm-a+3.efi", "notes.txt"]);
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = log.clone();
    let medium = medium(boot.path(), Kind::BootCount, move |path, writable| {
        seen.borrow_mut().push((writable, names(path)[0].clone()));
        Ok(())
    });
    let writes = medium.change(Slot::A, Change::Commit(Slot::A)).unwrap();
    assert_eq!(writes, [Write::Rename { from: "holm-a+3.efi".into(), to: "holm-a.efi".into() }]);
    assert_eq!(fs::read(boot.path().join("EFI/Linux/holm-a.efi")).unwrap(), b"holm-a+3.efi");
    assert_eq!(
        *log.borrow(),
        [(true, "holm-a+3.efi".to_owned()), (false, "holm-a.efi".to_owned())]
    );
}

#[test]
fn committed_slot_is_never_made_writable() {
    let boot = boot_with(&["holm-a.efi"]);
    let medium = medium(boot.path(), Kind::BootCount, |_, _| panic!("no remount is needed"));
    assert_eq!(medium.change(Slot::A, Change::Commit(Slot::A)).unwrap(), []);
}

#[test]
fn failed_rename_still_closes_the_partition() {
    let boot = boot_with(&["holm-a+3.efi"]);
    // The entry vanishes between the plan and its execution.
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = log.clone();
    let medium = medium(boot.path(), Kind::BootCount, move |path, writable| {
        seen.borrow_mut().push(writable);
        if writable {
            fs::remove_file(path.join("EFI/Linux/holm-a+3.efi"))?;
        }
        Ok(())
    });
    let error = medium.change(Slot::A, Change::Commit(Slot::A)).unwrap_err();
    assert!(matches!(error, MediumError::Write { .. }), "{error:?}");
    assert_eq!(*log.borrow(), [true, false]);
}

#[test]
fn partition_that_cannot_be_written_keeps_its_counter() {
    let boot = boot_with(&["holm-a+2-1.efi"]);
    let read_only = |_: &Path, _| Err(io::ErrorKind::ReadOnlyFilesystem.into());
    let medium = medium(boot.path(), Kind::BootCount, read_only);
    let error = medium.change(Slot::A, Change::Commit(Slot::A)).unwrap_err();
    assert_eq!(error.to_string(), format!("remount {} writable", boot.path().display()));
    assert_eq!(names(boot.path()), ["holm-a+2-1.efi"]);
}

#[test]
fn missing_folder_and_missing_kernel_are_told_apart() {
    let empty = tempfile::tempdir().unwrap();
    let change = Change::Commit(Slot::B);
    let without = medium(empty.path(), Kind::BootCount, |_, _| Ok(()));
    assert!(matches!(without.change(Slot::B, change), Err(MediumError::Read { .. })));
    let boot = boot_with(&["holm-a.efi"]);
    let medium = medium(boot.path(), Kind::BootCount, |_, _| Ok(()));
    let error = medium.change(Slot::B, change).unwrap_err();
    assert_eq!(error.to_string(), "slot b has no kernel to start");
}

struct Flag(Rc<RefCell<Vec<Autoboot>>>, PathBuf, bool);

impl RebootFlag for Flag {
    fn raise(&self) -> io::Result<()> {
        let now = Autoboot::parse(&fs::read(self.1.join(tryboot::FILE))?);
        self.0.borrow_mut().push(now.map_err(io::Error::other)?);
        if self.2 { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

#[test]
fn flag_is_raised_after_the_file_is_written_and_its_refusal_is_an_error() {
    let boot = tempfile::tempdir().unwrap();
    let file = boot.path().join(tryboot::FILE);
    for works in [true, false] {
        fs::write(&file, Autoboot { boot: 2, tryboot: 2 }.render()).unwrap();
        let log = Rc::new(RefCell::new(Vec::new()));
        let flag = Flag(log.clone(), boot.path().to_owned(), works);
        let medium = medium(boot.path(), Kind::Tryboot(Box::new(flag)), |_, _| Ok(()));
        let armed = medium.change(Slot::A, Change::Arm(Slot::B));
        assert_eq!(armed.is_ok(), works, "{armed:?}");
        assert_eq!(*log.borrow(), [Autoboot { boot: 2, tryboot: 3 }]);
        assert_eq!(fs::read(&file).unwrap().len(), 512);
    }
}
