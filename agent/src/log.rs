//! Events as lines on standard error, where init collects them. One line each: level, message and
//! fields; the time is added by whoever stores them.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes events of `level` and above. Spans are not used.
pub struct Lines {
    /// The least level.
    pub level: Level,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates' chatter is of no use on a node.
        metadata.is_event()
            && *metadata.level() <= self.level
            && (metadata.target().starts_with("holm") || *metadata.level() <= Level::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let text = line(event);
        // Nobody is left to tell when this fails.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn line(event: &Event<'_>) -> String {
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    };
    let mut text = Text::default();
    event.record(&mut text);
    let line = format!("{level}: {}{}", text.message, text.fields);
    // A field may hold anything; a line is a line.
    let mut line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.push('\n');
    line
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: &dyn fmt::Display) {
        let outcome = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value}"),
        };
        // Writing to a string only fails when the value's own formatting does.
        let _ = outcome;
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// Formats like [`Lines`], into memory.
    struct Kept(Lines);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.0.enabled(metadata)
        }

        fn event(&self, event: &Event<'_>) {
            SEEN.lock().unwrap().push(line(event));
        }

        fn new_span(&self, attributes: &Attributes<'_>) -> Id {
            self.0.new_span(attributes)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn event_is_one_line_whatever_is_in_it() {
        let kept = Kept(Lines { level: Level::INFO });
        tracing::subscriber::with_default(kept, || {
            tracing::info!(pod = "default/web", attempt = 2, "started");
            tracing::error!("two\nlines");
            tracing::debug!("not shown");
            tracing::info!(target: "ureq", "not shown either");
        });
        assert_eq!(
            *SEEN.lock().unwrap(),
            ["info: started pod=default/web attempt=2\n", "error: two lines\n"]
        );
    }
}
