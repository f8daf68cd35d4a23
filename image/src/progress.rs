//! What a person at a terminal sees of a long build. Must never write when there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` bytes; hidden by itself when standard error is not a terminal.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    style(&bar, "{msg:24} [{bar:32}] {bytes:>10} / {total_bytes:10} {eta:>4}");
    bar
}

/// A spinner with the time taken, for work whose length nobody knows.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    style(&bar, "{msg:24} {spinner} {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// A line above the bars; goes to standard error, and only to a terminal.
pub fn note(text: &str) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("{text}");
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // The templates are constants of this file; should one be wrong, the default style stays.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}
