//! The README and the parser agree: same sections, same keys, same defaults, both directions.

use std::collections::{BTreeMap, BTreeSet};

use holm_config::{NodeConfig, parse, schema};

const README: &str = include_str!("../README.md");

struct Row {
    section: String,
    key: String,
    default: String,
}

/// The rows of the tables below headings like "## `node`", and all such headings.
fn documented() -> (BTreeSet<String>, Vec<Row>) {
    let (mut sections, mut rows) = (BTreeSet::new(), Vec::new());
    let mut section = None;
    for line in README.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let name = heading.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
            section = name.map(str::to_owned);
            sections.extend(section.clone());
        } else if let (Some(section), true) = (&section, line.starts_with("| `")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "a row has four cells: {line}");
            assert!(!cells[2].is_empty() && cells[4].ends_with('.'), "{line}");
            rows.push(Row {
                section: section.clone(),
                key: cells[1].trim_matches('`').to_owned(),
                default: cells[3].to_owned(),
            });
        }
    }
    (sections, rows)
}

fn example() -> &'static str {
    let (_, rest) = README.split_once("```toml\n").expect("the README has an example");
    rest.split_once("```").expect("the example ends").0
}

#[test]
fn every_section_is_documented_and_no_other() {
    let known: BTreeSet<String> =
        schema().iter().map(|s| s.path.to_owned()).filter(|path| !path.is_empty()).collect();
    assert_eq!(documented().0, known);
    let top: BTreeSet<&str> = schema()[0].keys.iter().copied().collect();
    let first = known.iter().map(|path| path.split(['.', '[']).next().unwrap());
    assert_eq!(first.collect::<BTreeSet<_>>(), top);
}

#[test]
fn every_key_is_documented_in_the_schemas_order_and_no_other() {
    let mut documented_keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in documented().1 {
        documented_keys.entry(row.section).or_default().push(row.key);
    }
    for section in schema().iter().filter(|section| !section.path.is_empty()) {
        let keys = documented_keys.remove(section.path).unwrap_or_default();
        assert_eq!(keys, section.keys, "{}", section.path);
    }
    assert!(documented_keys.is_empty(), "{documented_keys:?}");
}

/// How a section's keys are written so that the parser reaches them: what stands before, and
/// what after.
fn around(section: &str) -> (&'static str, &'static str) {
    match section {
        "" => ("", ""),
        "node" => ("[node]\n", ""),
        "network" => ("[network]\n", ""),
        "network.links[]" => ("[[network.links]]\n", ""),
        "network.links[].match" => ("[[network.links]]\nmatch = {", "}"),
        "network.links[].routes[]" => ("[[network.links]]\nname = \"a\"\nroutes = [{", "}]"),
        "network.links[].vlan" => ("[[network.links]]\nname = \"a\"\nvlan = {", "}"),
        "network.links[].bridge" => ("[[network.links]]\nname = \"a\"\nbridge = {", "}"),
        "network.links[].bond" => ("[[network.links]]\nname = \"a\"\nbond = {", "}"),
        "time" => ("[time]\n", ""),
        "watchdog" => ("[watchdog]\n", ""),
        "kernel" => ("[kernel]\n", ""),
        "log" => ("[log]\n", ""),
        "install" => ("[install]\n", ""),
        "console" => ("[console]\n", ""),
        "provisioning" => ("[provisioning]\n", ""),
        "reset" => ("[reset]\n", ""),
        "reset.gpio" => ("[reset]\ngpio = {", "}"),
        "hardware" => ("[hardware]\n", ""),
        "wifi[]" => ("[[wifi]]\n", ""),
        "pods" => ("[pods]\n", ""),
        "images" => ("[images]\n", ""),
        "registries.<host>" => ("[registries.\"a.example\"]\n", ""),
        "update" => ("[update]\n", ""),
        other => unreachable!("the test does not know section {other}"),
    }
}

#[test]
fn every_key_of_the_schema_is_really_read() {
    for section in schema() {
        for key in section.keys {
            let (before, after) = around(section.path);
            let text = format!("{before}{key} = 1.5{after}");
            let problems = parse(&text, "f").expect_err(&text);
            let named = problems.iter().any(|p| p.what.starts_with(&format!("\"{key}\" must be")));
            assert!(named, "{text}: {problems:?}");
        }
    }
}

#[test]
fn every_documented_default_is_the_parsers_default() {
    for row in documented().1 {
        let default = row.default.trim_matches('`');
        let (before, after) = around(&row.section);
        let empty = match row.section.as_str() {
            "network.links[]" => format!("{before}name = \"a\"\n"),
            // The only mode in which both `lacp-rate` and `transmit-hash` may be said.
            "network.links[].bond" if row.key != "mode" => {
                format!("{before}mode = \"802.3ad\", ports = [\"b\"]")
            }
            "network.links[].bond" => format!("{before}ports = [\"b\"]"),
            "reset.gpio" => format!("{before}chip = \"gpiochip0\", line = 1"),
            "wifi[]" => format!("{before}ssid = \"a\"\npassphrase = \"12345678\"\n"),
            _ => before.to_owned(),
        };
        let joint = if empty.contains('{') && !empty.ends_with('{') { ", " } else { "" };
        match default {
            "unset" | "required" => {}
            // In these two sections nothing can be silent: their keys stand or fall together.
            _ if row.section.ends_with(".vlan") || row.section.ends_with(".routes[]") => {}
            _ => {
                let said = format!("{empty}{joint}{} = {default}{after}", row.key);
                let silent = format!("{empty}{after}");
                assert_eq!(parse(&said, "f"), parse(&silent, "f"), "{said}");
                assert!(parse(&said, "f").is_ok(), "{said}");
            }
        }
        if default == "required" {
            let text = format!("{before}{after}");
            let problems = parse(&text, "f").expect_err(&text);
            let missing = format!("\"{}\" is missing", row.key);
            assert!(problems.iter().any(|p| p.what == missing), "{text}: {problems:?}");
        }
    }
}

#[test]
fn the_example_parses_and_says_what_it_says() {
    let config = parse(example(), "holm.toml").expect("the example is right");
    assert_eq!(config.node.hostname.as_deref(), Some("edge-1"));
    assert_eq!(config.network.links.len(), 2);
    assert_eq!(config.kernel.sysctls["vm/swappiness"], "10");
    assert_eq!(config.registries["docker.io"].mirrors, ["https://mirror.example.org"]);
}

#[test]
fn an_empty_document_is_all_defaults() {
    assert_eq!(parse("", "holm.toml"), Ok(NodeConfig::default()));
    let sections = "[node]\n[network]\n[time]\n[watchdog]\n[kernel]\n[log]\n[console]\n[provisioning]\n[reset]\n[hardware]\n[pods]\n[images]\n";
    assert_eq!(parse(sections, "holm.toml"), Ok(NodeConfig::default()));
}
