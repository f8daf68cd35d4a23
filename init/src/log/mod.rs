//! The service `log`: takes what the other services say from their pipes, and
//! what the kernel says from its log, and writes it to bounded, rotated files.
//! A child of PID 1, because a disk may be slow; when it is gone PID 1 puts the
//! services' words into the kernel's log again. Never waits for room on a disk.

mod file;
mod kernel;
mod rotation;

use crate::lines::Lines;
use crate::syscalls::signals::{OF_TERMINATION, Signals};
use file::LogFile;
use kernel::KernelLog;
use rotation::Limits;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, FromRawFd, RawFd};
use std::path::Path;
use std::process::ExitCode;

/// Where the files are.
const FOLDER: &str = "/data/var/log/holm";
/// The pipes: `name=descriptor`, separated by commas.
pub(crate) const PIPES: &str = "HOLM_LOG_PIPES";
/// The size in bytes at which a file is rotated.
pub(crate) const MAX_SIZE: &str = "HOLM_LOG_MAX_SIZE";
/// How many files are kept for each service.
pub(crate) const FILES: &str = "HOLM_LOG_FILES";
/// Room for what a service says at once.
const BUFFER: usize = 16 * 1024;

/// A service's pipe and file.
struct Source {
    pipe: File,
    lines: Lines,
    log: LogFile,
}

/// Writes until it is told to end.
pub(crate) fn main() -> ExitCode {
    let number = |key| std::env::var(key).ok().and_then(|value| value.parse().ok());
    let limits = Limits {
        max_size: number(MAX_SIZE).unwrap_or(1 << 20),
        files: number(FILES).map_or(4, |files| files as u32),
    };
    let folder = Path::new(FOLDER);
    if let Err(error) = std::fs::create_dir_all(folder) {
        eprintln!("cannot make {FOLDER}: {error}");
        return ExitCode::FAILURE;
    }
    let pipes = parse_pipes(&std::env::var(PIPES).unwrap_or_default());
    let mut sources: Vec<_> = pipes
        .into_iter()
        .map(|(name, pipe)| Source {
            pipe: take_descriptor(pipe),
            lines: Lines::default(),
            log: LogFile::new(folder, &name, limits),
        })
        .collect();
    let mut kernel = KernelLog::open(LogFile::new(folder, "kernel", limits));
    let mut signals = Signals::open(OF_TERMINATION).ok();
    loop {
        let told_to_end = wait(&sources, kernel.as_ref(), signals.as_mut());
        for source in &mut sources {
            // One buffer at a time, so that nobody is forgotten for a chatterer;
            // at the end, all that is left.
            while drain(source) && told_to_end {}
        }
        if let Some(kernel) = &mut kernel {
            kernel.drain();
        }
        if told_to_end {
            for source in &mut sources {
                source.lines.flush(|line| source.log.write(line));
            }
            return ExitCode::SUCCESS;
        }
    }
}

/// Waits until somebody says something; whether it is time to end.
fn wait(sources: &[Source], kernel: Option<&KernelLog>, signals: Option<&mut Signals>) -> bool {
    let mut fds: Vec<_> = sources.iter().map(|s| PollFd::new(&s.pipe, PollFlags::IN)).collect();
    if let Some(kernel) = kernel {
        fds.push(PollFd::from_borrowed_fd(kernel.as_fd(), PollFlags::IN));
    }
    if let Some(signals) = &signals {
        fds.push(PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN));
    }
    let _ = poll(&mut fds, None);
    let mut end = false;
    if let Some(signals) = signals {
        while let Some(signal) = signals.next() {
            end |= signal == libc::SIGTERM;
        }
    }
    end
}

/// Writes one buffer's worth; whether there was anything.
fn drain(source: &mut Source) -> bool {
    let mut buffer = [0; BUFFER];
    let Ok(length @ 1..) = source.pipe.read(&mut buffer) else {
        return false;
    };
    source.lines.feed(&buffer[..length], |line| source.log.write(line));
    true
}

fn parse_pipes(text: &str) -> Vec<(String, RawFd)> {
    let pipe = |word: &str| {
        let (name, descriptor) = word.split_once('=')?;
        Some((name.to_owned(), descriptor.parse().ok().filter(|number| *number > 2)?))
    };
    text.split(',').filter_map(pipe).collect()
}

#[allow(unsafe_code)]
fn take_descriptor(descriptor: RawFd) -> File {
    // SAFETY: PID 1 passed this descriptor on for us alone and named it in the
    // environment; nothing else in this process has it.
    unsafe { File::from_raw_fd(descriptor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_named() {
        let pipes = parse_pipes("network=5,agent=7");
        assert_eq!(pipes, [("network".to_owned(), 5), ("agent".to_owned(), 7)]);
    }

    #[test]
    fn standard_streams_and_nonsense_are_not_taken() {
        assert!(parse_pipes("a=1,b=x,c,").is_empty());
    }
}
