//! From a text to an accepted document or to all that is wrong with it. Never panics.

use toml::de::DeTable;

use crate::problem::{Problem, Report};
use crate::reader::{At, Table};
use crate::{
    Console, Hardware, Images, Install, Kernel, Log, NodeConfig, Provisioning, Reset, Time, Update,
    Watchdog,
};
use crate::{links, network, node, pods, schema, topology, wifi};

/// A document is written by a person; PID 1 reads no more than this.
const MOST_BYTES: usize = 64 << 10;
/// The parser keeps some 250 bytes for each fault it recovers from, and a damaged file has
/// nothing but faults; in a longer text it stops at the first.
const MOST_RECOVERED_BYTES: usize = 16 << 10;
/// The parser nests a table for each dot of a key, and would recurse as deep to free them.
const MOST_DOTS: usize = 64;

/// Reads the document `text`; `file_name` is what its problems call it.
///
/// # Errors
/// Every problem that was found, in the order of the text; never an empty list.
pub fn parse(text: &str, file_name: &str) -> Result<NodeConfig, Vec<Problem>> {
    let report = Report::default();
    let config = read(text, &report);
    if report.is_empty() { Ok(config) } else { Err(report.into_problems(file_name, text)) }
}

fn read(text: &str, report: &Report) -> NodeConfig {
    if refuse_unreadable(text, report) {
        return NodeConfig::default();
    }
    let (entries, errors) = if text.len() <= MOST_RECOVERED_BYTES {
        let (entries, errors) = DeTable::parse_recoverable(text);
        (entries.into_inner(), errors)
    } else {
        let parsed = DeTable::parse(text).map(|entries| (entries.into_inner(), Vec::new()));
        parsed.unwrap_or_else(|error| (DeTable::new(), vec![error]))
    };
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        let (what, right) = explain(error.message());
        report.add(at, what, right);
    }
    let root = Table::open(&schema::ROOT, &entries, 0, report);
    let (config, links) = read_sections(&root);
    if errors.is_empty() {
        topology::check(&config, &links, &root);
    } else {
        report.silence_echoes(errors.len(), text);
    }
    config
}

fn read_sections(root: &Table<'_>) -> (NodeConfig, Vec<links::Placed>) {
    let (network, links) = network::read(root);
    let config = NodeConfig {
        node: node::read(root),
        network,
        time: Time::read(root),
        watchdog: Watchdog::read(root),
        kernel: Kernel::read(root),
        log: Log::read(root),
        install: Install::read(root),
        console: Console::read(root),
        provisioning: Provisioning::read(root),
        reset: Reset::read(root),
        hardware: Hardware::read(root),
        wifi: wifi::read(root),
        pods: pods::read_pods(root),
        images: Images::read(root),
        registries: pods::read_registries(root),
        update: Update::read(root),
    };
    (config, links)
}

/// Texts that would cost PID 1 its memory or its stack, and files that a disk has damaged.
fn refuse_unreadable(text: &str, report: &Report) -> bool {
    if text.len() > MOST_BYTES {
        let what = format!("the document has {} bytes", text.len());
        report.add(0, what, format!("keep it within {MOST_BYTES} bytes"));
        return true;
    }
    let is_foreign = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r');
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_foreign(*c)) {
        let what = format!("the document is damaged: it holds the character {c:?}");
        report.add(at, what, "write it anew as plain text");
        return true;
    }
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let key = line.split(['=', '"', '\'', '#']).next().unwrap_or_default();
        if key.bytes().filter(|byte| *byte == b'.').count() > MOST_DOTS {
            report.add(start, "a key has too many parts", "no key of this document nests so deep");
            return true;
        }
        start += line.len();
    }
    false
}

/// Splits the parser's message into what is wrong and what it expected.
fn explain(message: &str) -> (String, String) {
    let (what, right) = match message.split_once("expected ") {
        Some((what, right)) => (what, format!("expected {right}")),
        None => (message, "see the TOML format at https://toml.io".to_owned()),
    };
    let what = what.trim().trim_end_matches([',', ';', ':']).replace('\n', " ");
    let what = if what.is_empty() { "this is not TOML".to_owned() } else { what };
    (what, right.replace('\n', " "))
}

/// The value, or its default.
pub(crate) fn or_default<T>(read: Option<At<T>>, default: T) -> T {
    read.map_or(default, |read| read.value)
}

/// The values without their places.
pub(crate) fn values<T>(read: Option<Vec<At<T>>>) -> Vec<T> {
    read.unwrap_or_default().into_iter().map(|read| read.value).collect()
}
