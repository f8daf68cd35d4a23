//! Runs external programs and turns a failure into an error that shows what they said.
//! Must never interpret their output: that is the caller's business.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// Why an external program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// What was to run.
        program: String,
        /// Why it did not.
        source: io::Error,
    },
    /// The program ran and failed.
    #[error("{program} failed with {status}:\n{said}")]
    Failed {
        /// What ran.
        program: String,
        /// How it ended.
        status: String,
        /// The end of its standard error, or of its output when that is empty.
        said: String,
    },
}

/// Runs to the end and returns what it wrote; a status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<Output, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start { program: program(command), source })?;
    check(command, output)
}

/// As [`run`], with `input` on standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Output, Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().and_then(|mut child| {
        // The programs fed here read all their input before they write, and inputs are small.
        match child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => child.wait_with_output(),
        }
    });
    let output = output.map_err(|source| Error::Start { program: program(command), source })?;
    check(command, output)
}

fn check(command: &Command, output: Output) -> Result<Output, Error> {
    if output.status.success() {
        return Ok(output);
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(Error::Failed {
        program: program(command),
        status: output.status.to_string(),
        said: tail(&String::from_utf8_lossy(said), 20),
    })
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The last `lines` lines, indented so that they stand out below an error.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let kept = &all[all.len().saturating_sub(lines)..];
    kept.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Whether a program of that name is on the search path.
pub fn is_installed(name: &str) -> bool {
    find_on_path(name).is_some()
}

/// The first program of that name on the search path.
pub fn find_on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_shows_what_the_program_said_last() {
        let error = run(Command::new("sh").args(["-c", "echo first; echo why >&2; exit 3"]));
        let text = error.expect_err("exit 3 is a failure").to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("    why"), "{text}");
    }

    #[test]
    fn missing_program_is_named() {
        let error = run(&mut Command::new("/nonexistent/tool")).expect_err("cannot start");
        assert_eq!(error.to_string(), "cannot start /nonexistent/tool");
    }

    #[test]
    fn input_reaches_the_program() {
        let output = run_with_input(&mut Command::new("cat"), b"text").expect("cat runs");
        assert_eq!(output.stdout, b"text");
    }

    #[test]
    fn program_that_ignores_its_input_is_no_failure() {
        let big = vec![b'x'; 1 << 20];
        let output = run_with_input(&mut Command::new("true"), &big).expect("true succeeds");
        assert!(output.stdout.is_empty());
    }

    #[test]
    fn tail_keeps_the_last_lines_only() {
        assert_eq!(tail("a\nb\nc\n", 2), "    b\n    c");
    }
}
