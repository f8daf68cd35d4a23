//! `modprobe`, as the kernel calls it when it wants a module of itself.
//! Understands only what the kernel uses: `modprobe -q -- NAME`.

use super::load::{Loader, folder, read_texts};
use crate::cmdline::Cmdline;
use std::process::ExitCode;

/// Loads each module named in `arguments`; fails if any is unknown or refused.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let cmdline = Cmdline::read().unwrap_or_default();
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    let (quiet, requests) = read(arguments);
    let failures = loader.load(requests.iter().map(String::as_str));
    if !quiet {
        failures.iter().for_each(|error| eprintln!("modprobe: {error}"));
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether to be quiet, and the names.
fn read(arguments: impl Iterator<Item = String>) -> (bool, Vec<String>) {
    let (options, names): (Vec<_>, _) = arguments.partition(|word| word.starts_with('-'));
    (options.iter().any(|option| matches!(option.as_str(), "-q" | "--quiet")), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_call_is_understood() {
        let words = ["-q", "--", "fs-ext4"].map(str::to_owned).into_iter();
        assert_eq!(read(words), (true, vec!["fs-ext4".to_owned()]));
        let words = ["veth", "bridge"].map(str::to_owned).into_iter();
        assert_eq!(read(words), (false, vec!["veth".to_owned(), "bridge".to_owned()]));
    }
}
