//! The dashboard of a recorded node in a real terminal, tmux, compared as text with
//! the files in `tests/pages`. `HOLM_WRITE_PAGES=1` writes those anew, to be looked at.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A terminal with the dashboard in it.
struct Tmux {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Tmux {
    fn start(width: u16, height: u16, environment: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tmux = Self { socket: folder.path().join("socket"), _folder: folder };
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/tests/recorded");
        let (width, height) = (width.to_string(), height.to_string());
        let mut words = vec!["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height];
        // The server takes over whatever variables it is started with.
        for variable in environment {
            words.extend(["-e", variable]);
        }
        words.extend([
            "--",
            env!("CARGO_BIN_EXE_holm-init"),
            "console",
            recorded.to_str().unwrap(),
        ]);
        tmux.run(&words);
        tmux
    }

    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(words).env("LC_ALL", "C.UTF-8");
        let output = command.env_remove("TMUX").output().expect("ci/setup installs tmux");
        String::from_utf8(output.stdout).unwrap()
    }

    fn press(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    /// What is shown, once it holds `text`.
    fn shown(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.run(&["capture-pane", "-p"]);
            if shown.contains(text) || start.elapsed() > Duration::from_secs(20) {
                return shown;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn colours(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[track_caller]
fn compare(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(name);
    let seen: String = seen.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    if std::env::var_os("HOLM_WRITE_PAGES").is_some() {
        std::fs::write(&path, &seen).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == wanted, "{name} differs; it is now:\n{seen}");
}

#[test]
fn dashboard_of_a_recorded_node_is_shown_page_by_page() {
    let tmux = Tmux::start(80, 25, &[]);
    compare("overview.txt", &tmux.shown("[1 Overview]"));
    tmux.press("2");
    compare("pods.txt", &tmux.shown("[2 Pods]"));
    tmux.press("Tab");
    compare("messages.txt", &tmux.shown("[messages]"));
    tmux.press("Right");
    compare("agent-log.txt", &tmux.shown("[agent]"));
}

#[test]
fn dashboard_does_without_colour() {
    let tmux = Tmux::start(80, 25, &["NO_COLOR=1"]);
    compare("overview.txt", &tmux.shown("[1 Overview]"));
    let shown = tmux.colours();
    assert!(!shown.contains("\x1b[31m") && shown.contains("\x1b[7m"), "{shown:?}");
    let tmux = Tmux::start(80, 25, &[]);
    tmux.shown("[1 Overview]");
    assert!(tmux.colours().contains("\x1b[1m\x1b[31m"), "{:?}", tmux.colours());
}

#[test]
fn dashboard_follows_the_size_of_its_terminal() {
    let tmux = Tmux::start(60, 12, &[]);
    compare("small.txt", &tmux.shown("[1 Overview]"));
    tmux.run(&["resize-window", "-x", "100", "-y", "30"]);
    compare("larger.txt", &tmux.shown("wlan0"));
}

#[test]
fn key_to_leave_ends_a_recorded_node() {
    let tmux = Tmux::start(80, 25, &[]);
    tmux.shown("[1 Overview]");
    tmux.press("q");
    let start = Instant::now();
    // With its only program the server ends too.
    while !tmux.run(&["list-sessions"]).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}
