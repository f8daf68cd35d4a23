//! What libcontainer complains about: the real reason of a failed create is often only in its trace.
//!
//! Keeps error events, nothing else. They go to the shim's own log, by a descriptor of its own,
//! since in the container's first process the standard streams are the container's already.

use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Begins each line, so that it can be told from others in the log.
const MARK: &str = "libcontainer: ";

struct Complaints(File);

/// Sends all error events of this process, and of those that it forks, to `log`.
///
/// # Errors
/// The file cannot be opened.
pub fn keep_in(log: &Path) -> std::io::Result<()> {
    let file = File::options().append(true).create(true).open(log)?;
    // A second subscriber is refused; then the first one is ours, from an earlier call.
    let _ = tracing::subscriber::set_global_default(Complaints(file));
    Ok(())
}

/// The first complaint in `log`: what comes later tells of its consequences.
pub fn first_of(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.strip_prefix(MARK))
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name} {value:?}"),
        };
    }
}

impl Subscriber for Complaints {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let line = format!("{MARK}{}{}", text.message, text.fields).replace('\n', " ");
        let _ = writeln!(&self.0, "{line}");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_kept_with_their_fields_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("shim.log");
        std::fs::write(&log, "shim: something else\n").unwrap();
        let file = File::options().append(true).open(&log).unwrap();
        tracing::subscriber::with_default(Complaints(file), || {
            tracing::warn!("a warning");
            tracing::error!(path = "/x", "failed to\nmount");
            tracing::error!("later");
        });
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(first_of(&text), Some("failed to mount, path \"/x\""));
        assert_eq!(first_of("shim: something else\n"), None);
    }
}
