//! Kernel modules of Holm's own: compiled from the repository against the headers of the very
//! kernel that the image has, and laid among its modules. The headers' tools are Debian's, of this
//! machine's architecture, and run by the loader of the toolbox. Must never leave a path of the
//! build machine in a module.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::inputs::Unpacked;
use super::stages::Stages;
use super::{Error, file};
use crate::digest::{Digest, Key};
use crate::{process, progress};

/// Options of the kernel's configuration that ask for more than a module needs: a later compiler's
/// option, and type information that takes the kernel's image and one more tool.
const WITHOUT: [&str; 2] =
    ["CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=", "CONFIG_DEBUG_INFO_BTF_MODULES="];

/// The compiler's prefix, by which Debian has it on machines of every architecture.
const CROSS_COMPILE: &str = "aarch64-linux-gnu-";

/// The kernel's modules: a folder laid out as its package has them, and what went in beside it.
#[derive(Debug, Clone)]
pub(super) struct Modules {
    pub(super) folder: PathBuf,
    pub(super) digest: Digest,
    /// The names of Holm's own.
    pub(super) own: Vec<String>,
}

/// The modules of the kernel's package in `folder`, with Holm's own among them.
pub(super) fn gather(stages: &Stages, folder: PathBuf, release: &str) -> Result<Modules, Error> {
    let digest = stages.inputs.kernel.digest();
    let Some(headers) = &stages.inputs.headers else {
        return Ok(Modules { folder, digest, own: Vec::new() });
    };
    let headers_folder = prepare(stages, headers)?;
    let mut key = Key::new("kernel-modules/1").input("kernel", digest);
    let mut own = Vec::new();
    for source in &stages.board.modules.own {
        let (name, built) = compile(stages, headers, &headers_folder, release, source)?;
        key = key.input(&name, Digest::of_file(&built).map_err(file("read", &built))?);
        own.push((name, built));
    }
    let digest = key.digest();
    let joined = stages.steps.run("kernel-modules", digest, |out| -> Result<(), Error> {
        let entries = fs::read_dir(&folder).map_err(file("list", &folder))?;
        for entry in entries.flatten() {
            let link = out.join(entry.file_name());
            symlink(entry.path(), &link).map_err(file("link", &link))?;
        }
        let extra = out.join("holm");
        fs::create_dir(&extra).map_err(file("make", &extra))?;
        for (name, built) in &own {
            let to = extra.join(format!("{name}.ko"));
            fs::copy(built, &to).map_err(file("copy", &to))?;
        }
        Ok(())
    })?;
    Ok(Modules { folder: joined, digest, own: own.into_iter().map(|(name, _)| name).collect() })
}

/// The headers, made to work where they lie: their makefile names the place of their installation,
/// and their tools ask for a loader of their own release.
fn prepare(stages: &Stages, headers: &Unpacked) -> Result<PathBuf, Error> {
    let key = Key::new("kernel-headers/1").input("headers", headers.digest());
    stages.steps.run("kernel-headers", key.digest(), |out| -> Result<(), Error> {
        process::run(Command::new("cp").arg("-a").arg(headers.folder.join("usr")).arg(out))?;
        let mut open = vec![out.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).map_err(file("list", &folder))?.flatten() {
                let path = entry.path();
                let kind = entry.file_type().map_err(file("look at", &path))?;
                if kind.is_dir() {
                    open.push(path);
                } else if kind.is_file() && is_program(&path).map_err(file("read", &path))? {
                    wrap(&path).map_err(file("wrap", &path))?;
                }
            }
        }
        let makefile = source_tree(headers, out).join("Makefile");
        let text = fs::read_to_string(&makefile).map_err(file("read", &makefile))?;
        let text = text.replace("/usr/src/", "../");
        fs::write(&makefile, text).map_err(file("write", &makefile))
    })
}

fn source_tree(headers: &Unpacked, folder: &Path) -> PathBuf {
    folder.join("usr/src").join(&headers.package.name)
}

fn is_program(path: &Path) -> std::io::Result<bool> {
    let may_run = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
    Ok(may_run && fs::read(path)?.starts_with(b"\x7fELF"))
}

/// Puts a script in a program's place, which runs it by the loader that the environment names.
fn wrap(path: &Path) -> std::io::Result<()> {
    let mut moved = OsString::from(path);
    moved.push(".elf");
    fs::rename(path, &moved)?;
    let script = "#!/bin/sh\nexec \"$HOLM_LOADER\" --library-path \"$HOLM_LIBRARIES\" \
                  --argv0 \"$0\" \"$0.elf\" \"$@\"\n";
    fs::File::create_new(path)?.write_all(script.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Compiles the module in `source`, a folder of the repository; its name and its file.
fn compile(
    stages: &Stages,
    headers: &Unpacked,
    headers_folder: &Path,
    release: &str,
    source: &str,
) -> Result<(String, PathBuf), Error> {
    let from = stages.workspace.join(source);
    let mut files = Vec::new();
    for entry in fs::read_dir(&from).map_err(file("list", &from))?.flatten() {
        let path = entry.path();
        let is_source = path.extension().is_some_and(|end| end == "c" || end == "h");
        if is_source || path.ends_with("Kbuild") {
            files.push(path);
        }
    }
    files.sort();
    let sources = files.iter().filter(|path| path.extension().is_some_and(|end| end == "c"));
    let name = sources.filter_map(|path| path.file_stem()?.to_str()).next();
    let name = name.ok_or_else(|| Error::Lacking {
        package: source.to_owned(),
        what: "source of a kernel module".to_owned(),
    })?;
    let compiler = format!("{CROSS_COMPILE}gcc");
    let version = process::run(Command::new(&compiler).arg("--version"))?;
    let mut key = Key::new("kernel-module/1")
        .input("headers", headers.digest())
        .input("tools", stages.tools())
        .field("compiler", &version.stdout)
        .field("release", release);
    for path in &files {
        let digest = Digest::of_file(path).map_err(file("read", path))?;
        key = key.field("file", path.file_name().unwrap_or_default().as_encoded_bytes());
        key = key.input("content", digest);
    }
    let folder = stages.steps.run("kernel-module", key.digest(), |out| -> Result<(), Error> {
        let bar = progress::spinner("kernel module");
        let made = make(stages, &source_tree(headers, headers_folder), &files, out);
        bar.finish_and_clear();
        made
    })?;
    Ok((name.to_owned(), folder.join(format!("{name}.ko"))))
}

fn make(stages: &Stages, tree: &Path, files: &[PathBuf], out: &Path) -> Result<(), Error> {
    let out = out.canonicalize().map_err(file("find", out))?;
    let tree = tree.canonicalize().map_err(file("find", tree))?;
    for path in files {
        let to = out.join(path.file_name().unwrap_or_default());
        fs::copy(path, &to).map_err(file("copy", &to))?;
    }
    let (loader, libraries) = stages.inputs.tools.toolbox.loader();
    let mut command = Command::new("make");
    command.arg("-s").arg("-C").arg(&tree).arg(format!("M={}", out.display()));
    command.arg(format!("CC={CROSS_COMPILE}gcc")).args(WITHOUT);
    // Nothing of this machine's folders, neither as names nor in the digest that the linker makes.
    command.arg(format!("KCFLAGS=-g0 -ffile-prefix-map={}=/holm", out.display()));
    command.arg("modules");
    command.env("HOLM_LOADER", loader).env("HOLM_LIBRARIES", libraries);
    for variable in ["MAKEFLAGS", "ARCH", "KBUILD_OUTPUT", "CFLAGS", "LDFLAGS"] {
        command.env_remove(variable);
    }
    process::run(&mut command)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_run_by_the_loader_that_is_named_and_scripts_stay() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (program, script) = (folder.path().join("tool"), folder.path().join("script"));
        fs::write(&program, b"\x7fELF...").expect("written");
        fs::write(&script, b"#!/bin/sh\n").expect("written");
        for path in [&program, &script] {
            assert!(!is_program(path).expect("read"), "nobody may run it");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
        }
        assert!(is_program(&program).expect("read") && !is_program(&script).expect("read"));
        wrap(&program).expect("wrapped");
        let said = Command::new(&program)
            .args(["a", "b c"])
            .env("HOLM_LOADER", "/bin/echo")
            .env("HOLM_LIBRARIES", "/libs")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let name = program.display();
        assert_eq!(said, format!("--library-path /libs --argv0 {name} {name}.elf a b c\n"));
    }
}
