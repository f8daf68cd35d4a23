//! The pages of a recorded node, compared as text with the files in
//! `tests/pages`. `HOLM_WRITE_PAGES=1` writes the files anew, to be looked at.

use super::*;
use crate::keys::Key;
use crate::messages::Messages;
use crate::state::Filling;
use crate::status::{Known, read};
use ratatui::style::{Color, Modifier};
use std::path::Path;

fn recorded() -> (State, Messages) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let mut messages = Messages::default();
    for record in text("run/holm/kmsg").lines() {
        messages.take(record.as_bytes(), 4);
    }
    let known = Known {
        status: text("run/holm/status.json"),
        hostname: text("run/holm/hostname"),
        os_release: text("etc/os-release"),
        cmdline: text("proc/cmdline"),
        entries: vec!["holm-a.efi".into(), "holm-b+3.efi".into()],
        update: text("run/holm/update.json"),
        network: text("run/holm/network.json"),
        pods: text("run/holm/pods.json"),
        loadavg: text("proc/loadavg"),
        meminfo: text("proc/meminfo"),
        uptime: text("proc/uptime"),
        data: Some(Filling { used: 3 << 30, size: 29 << 30 }),
        temperatures: vec![text("sys/class/thermal/thermal_zone0/temp")],
        agent_log: text("data/var/log/holm/agent.log"),
        ..Known::default()
    };
    (read(&known, &messages), messages)
}

fn page(keys: &[Key], (width, height): (u16, u16)) -> String {
    let (state, messages) = recorded();
    let mut dashboard = Dashboard::default();
    for key in keys {
        dashboard.press(*key);
    }
    let size = Size::new(width, height);
    letters(&dashboard.draw(&state, &messages.lines(), size, false))
}

fn letters(buffer: &Buffer) -> String {
    let rows = buffer.content().chunks(usize::from(buffer.area().width));
    let row = |cells: &[ratatui::buffer::Cell]| {
        let row: String = cells.iter().map(|cell| cell.symbol()).collect();
        row.trim_end().to_owned() + "\n"
    };
    rows.map(row).collect()
}

#[track_caller]
fn compare(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(name);
    if std::env::var_os("HOLM_WRITE_PAGES").is_some() {
        std::fs::write(&path, seen).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == wanted, "{name} differs; it is now:\n{seen}");
}

#[test]
fn overview_fits_80_by_25() {
    compare("overview-80x25.txt", &page(&[], (80, 25)));
}

#[test]
fn overview_of_a_small_terminal_keeps_what_is_wrong() {
    compare("overview-40x12.txt", &page(&[], (40, 12)));
}

#[test]
fn overview_uses_a_large_screen() {
    compare("overview-160x50.txt", &page(&[], (160, 50)));
}

#[test]
fn pods_are_listed_with_the_ill_ones_first() {
    compare("pods-80x25.txt", &page(&[Key::Letter('2')], (80, 25)));
}

#[test]
fn log_shows_its_end_and_scrolls_back() {
    compare("logs-80x25.txt", &page(&[Key::Letter('3')], (80, 25)));
    let scrolled = page(&[Key::Letter('3'), Key::Up, Key::Up], (80, 8));
    assert!(
        scrolled.contains("ready 6234 ms") && !scrolled.contains("starting it again"),
        "{scrolled}"
    );
}

#[test]
fn node_of_which_nothing_is_known_has_a_page() {
    let state = State { unknown: Some("no such file".into()), ..State::default() };
    let page = letters(&Dashboard::default().draw(&state, &[], Size::new(80, 25), true));
    compare("unknown-80x25.txt", &page);
}

#[test]
fn colour_only_repeats_what_the_words_say() {
    let (state, _) = recorded();
    let draw = |colour| Dashboard::default().draw(&state, &[], Size::new(80, 25), colour);
    let (with, without) = (draw(true), draw(false));
    assert_eq!(letters(&with), letters(&without));
    assert!(with.content().iter().any(|cell| cell.fg == Color::Red));
    assert!(without.content().iter().all(|cell| cell.fg == Color::Reset));
    let plain = Modifier::BOLD | Modifier::REVERSED;
    assert!(without.content().iter().all(|cell| plain.contains(cell.modifier)));
}

#[test]
fn every_size_is_survived() {
    let (state, messages) = recorded();
    for (width, height) in
        [(1, 1), (19, 3), (20, 3), (21, 4), (39, 9), (300, 2), (3, 100), (500, 200)]
    {
        for key in ['1', '2', '3'] {
            let mut dashboard = Dashboard::default();
            dashboard.press(Key::Letter(key));
            dashboard.press(Key::PageUp);
            let size = Size::new(width, height);
            let drawn = dashboard.draw(&state, &messages.lines(), size, true);
            assert_eq!((drawn.area().width, drawn.area().height), (width, height));
        }
    }
}
