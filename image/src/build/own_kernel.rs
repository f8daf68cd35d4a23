//! A kernel of Debian's source with a board's fragment, for what Debian's own leaves out: compiled
//! once, when a person asks for it, and taken by every later build of the same source, fragment and
//! compiler. Must never be compiled by the way: it takes hours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::inputs::{self, Inputs};
use super::{Error, GivenKernel, Place, file};
use crate::apt::Package;
use crate::board::Board;
use crate::digest::{Digest, Key};
use crate::steps::Steps;
use crate::{board, kernel_config, process};

/// What the compiled kernel follows from.
struct Plan {
    source: Package,
    config: String,
    fragment: String,
    /// The prefix of the compiler's tools; empty on the board's own architecture.
    prefix: &'static str,
    key: Digest,
}

const STEP: &str = "kernel";

/// What must be installed, and Debian's package of it.
const TOOLS: [(&str, &str); 5] =
    [("make", "make"), ("flex", "flex"), ("bison", "bison"), ("bc", "bc"), ("rsync", "rsync")];

/// The kernel of an earlier [`compile`], if there is one. A board without a fragment has none; for
/// one with, `notes` says what to do and what is missing until then.
pub(super) fn find(
    board: &Board,
    workspace: &Path,
    place: &Place,
    folder: &Path,
    inputs: &Inputs,
    notes: &mut Vec<String>,
) -> Result<Option<GivenKernel>, Error> {
    let Some(fragment) = &board.kernel.fragment else { return Ok(None) };
    let plan = plan(board, fragment, workspace, place, folder, inputs);
    // Without a compiler, say, there is no such kernel either; the reason is for who compiles it.
    let found = plan.ok().and_then(|plan| steps(place, folder).find(STEP, plan.key));
    if let Some(found) = found {
        return Ok(Some(given(&found)?));
    }
    notes.push(format!(
        "{}: this image has the kernel of Debian's package, without what {} turns on; \
         `holm-image kernel --board {}` compiles one that has it, once",
        board.name, fragment, board.name
    ));
    Ok(None)
}

/// Compiles the board's kernel, unless that was done before; with `only_configure` it stops when the
/// configuration is known to keep the whole fragment.
pub fn compile(
    workspace: &Path,
    place: &Place,
    name: &str,
    only_configure: bool,
) -> Result<PathBuf, Error> {
    let board = board::read(&workspace.join("boards"), name)?;
    let fragment = board.kernel.fragment.as_ref();
    let fragment = fragment.ok_or_else(|| Error::NoFragment(board.name.clone()))?;
    let (folder, _lock) = place.open()?;
    let inputs = inputs::gather(
        &board,
        place,
        &folder,
        &Steps::in_folder(folder.join("steps")),
        &mut vec![],
    )?;
    let plan = plan(&board, fragment, workspace, place, &folder, &inputs)?;
    for (tool, package) in TOOLS {
        if !process::is_installed(tool) {
            return Err(Error::Tool { tool: tool.to_owned(), package });
        }
    }
    let unpacked = inputs::alone(&board, place, &folder, &plan.source)?;
    let work = folder.join("kernel");
    if only_configure {
        configure(&plan, &unpacked, &work)?;
        return Ok(work.join("linux/.config"));
    }
    steps(place, &folder).run(STEP, plan.key, |out| {
        configure(&plan, &unpacked, &work)?;
        make(&plan, &work, out)
    })
}

fn steps(place: &Place, folder: &Path) -> Steps {
    // Beside the packages, so that several checkouts share what took hours.
    Steps::in_folder(place.cache.clone().unwrap_or_else(|| folder.join("cache")).join("kernels"))
}

fn plan(
    board: &Board,
    fragment: &str,
    workspace: &Path,
    place: &Place,
    folder: &Path,
    inputs: &Inputs,
) -> Result<Plan, Error> {
    let path = workspace.join("boards").join(fragment);
    let fragment = fs::read_to_string(&path).map_err(file("read", &path))?;
    let kernel = &inputs.kernel;
    let release = super::contents::kernel_release(kernel)?;
    let places = [format!("boot/config-{release}"), format!("usr/lib/modules/{release}/config")];
    let config = places.iter().find_map(|place| kernel.file(place).ok());
    let path = config.ok_or_else(|| kernel.lacking("configuration"))?;
    let config = fs::read_to_string(&path).map_err(file("read", &path))?;
    let source = inputs::source_of(board, place, folder, &kernel.package)?;
    let native = board::Architecture::of_host() == Some(board.architecture);
    let prefix = if native { "" } else { board.architecture.tool_prefix() };
    let compiler = format!("{prefix}gcc");
    if !process::is_installed(&compiler) {
        return Err(Error::Tool { tool: compiler, package: "gcc-aarch64-linux-gnu" });
    }
    let version = process::run(Command::new(&compiler).arg("-dumpfullversion"))?.stdout;
    let key = Key::new("own-kernel/1")
        .input("source", source.sha256)
        .input("configuration", Digest::of(config.as_bytes()))
        .input("fragment", Digest::of(fragment.as_bytes()))
        .field("compiler", &version)
        .digest();
    Ok(Plan { source, config, fragment, prefix, key })
}

/// Unpacks the source, and makes a configuration that keeps the fragment.
fn configure(plan: &Plan, package: &Path, work: &Path) -> Result<(), Error> {
    let _ = fs::remove_dir_all(work);
    let linux = work.join("linux");
    fs::create_dir_all(&linux).map_err(file("make", &linux))?;
    let folder = package.join("usr/src");
    let entries = fs::read_dir(&folder).map_err(file("list", &folder))?;
    let archive = entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("linux-source-") && name.contains(".tar")
    });
    let lacking = || Error::Lacking { package: plan.source.exact(), what: "source".to_owned() };
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(archive.ok_or_else(lacking)?).args(["--strip-components", "1", "-C"]);
    process::run(tar.arg(&linux))?;
    let path = linux.join(".config");
    fs::write(&path, kernel_config::laid_over(&plan.config, &plan.fragment))
        .map_err(file("write", &path))?;
    process::run(in_source(plan, work).arg("olddefconfig"))?;
    let finished = fs::read_to_string(&path).map_err(file("read", &path))?;
    match &kernel_config::lost(&finished, &plan.fragment)[..] {
        [] => Ok(()),
        lost => Err(Error::Fragment(lost.join("; "))),
    }
}

/// `make` in the unpacked source. Nothing of the machine or the hour goes into the kernel's name.
fn in_source(plan: &Plan, work: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("-C").arg(work.join("linux")).arg("ARCH=arm64").arg("LOCALVERSION=-holm");
    command.arg(format!("CROSS_COMPILE={}", plan.prefix));
    command.env("KBUILD_BUILD_TIMESTAMP", "@0").env("KBUILD_BUILD_USER", "holm");
    command.env("KBUILD_BUILD_HOST", "holm").env("LC_ALL", "C");
    command
}

fn make(plan: &Plan, work: &Path, out: &Path) -> Result<(), Error> {
    let jobs = std::thread::available_parallelism().map_or(1, |number| number.get());
    process::run(
        in_source(plan, work).arg(format!("-j{jobs}")).args(["Image", "modules", "dtbs"]),
    )?;
    let mut modules = in_source(plan, work);
    modules.arg(format!("INSTALL_MOD_PATH={}", out.display())).arg("INSTALL_MOD_STRIP=1");
    process::run(modules.args(["DEPMOD=true", "modules_install"]))?;
    let mut trees = in_source(plan, work);
    trees.arg(format!("INSTALL_DTBS_PATH={}", out.join("trees").display()));
    process::run(trees.arg("dtbs_install"))?;
    let (from, to) = (work.join("linux/arch/arm64/boot/Image"), out.join("Image"));
    fs::copy(&from, &to).map_err(file("copy", &from))?;
    fs::remove_dir_all(work).map_err(file("remove", work))
}

/// A compiled kernel as what a person would give.
fn given(folder: &Path) -> Result<GivenKernel, Error> {
    let modules = folder.join("lib/modules");
    let mut entries = fs::read_dir(&modules).map_err(file("list", &modules))?;
    let release = entries.next().and_then(Result::ok).map(|entry| entry.path());
    let lacking =
        || Error::Lacking { package: folder.display().to_string(), what: "modules".to_owned() };
    Ok(GivenKernel {
        image: folder.join("Image"),
        modules: release.ok_or_else(lacking)?,
        device_trees: Some(folder.join("trees")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_kernel_is_found_by_its_parts() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(given(folder.path()).is_err(), "nothing was compiled");
        let modules = folder.path().join("lib/modules/7.3.4-holm");
        fs::create_dir_all(&modules).expect("made");
        let kernel = given(folder.path()).expect("there");
        assert_eq!(kernel.modules, modules);
        assert_eq!(kernel.device_trees, Some(folder.path().join("trees")));
    }

    #[test]
    fn every_fragment_that_a_board_names_sets_options() {
        let boards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards");
        let fragments = board::names(&boards).into_iter().filter_map(|name| {
            board::read(&boards, &name).expect("the board is valid").kernel.fragment
        });
        let mut checked = 0;
        for fragment in fragments {
            let text = fs::read_to_string(boards.join(&fragment)).expect(&fragment);
            assert!(kernel_config::options(&text).contains_key("CONFIG_PCIE_TEGRA194_HOST"));
            checked += 1;
        }
        assert_eq!(checked, 1);
    }
}
