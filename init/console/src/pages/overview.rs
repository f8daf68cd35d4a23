//! The first page: everything at a glance, what is wrong in full.

use super::{MARGIN, Sheet, Text, Tone};
use crate::plain::filling;
use crate::sections::{Section, cut, share};
use crate::state::{Pod, Service, State};
use ratatui::layout::Rect;

/// Draws it into `body`.
pub(super) fn draw(sheet: &mut Sheet, state: &State, body: Rect) {
    let width = usize::from(body.width.saturating_sub(MARGIN));
    let mut sections = vec![
        node(state),
        network(state),
        load(state),
        services(state, width),
        pods(state),
        errors(state),
    ];
    sections.retain(|section| !section.lines.is_empty());
    // A blank row before each section, where there is room for all of it.
    let lines: usize = sections.iter().map(|section| section.lines.len()).sum();
    let height = usize::from(body.height);
    let is_airy = lines.min(height.saturating_sub(2)) + sections.len() <= height;
    let gap = usize::from(is_airy);
    let shares = share(&sections, height.saturating_sub(gap * sections.len()));
    let mut y = body.y;
    for (section, share) in sections.iter().zip(shares) {
        if share == 0 {
            continue;
        }
        y += u16::from(is_airy);
        sheet.write(1, y, &Text::of(Tone::Label, section.label));
        for line in cut(section, share) {
            sheet.write(MARGIN, y, &line);
            y += 1;
        }
    }
}

fn node(state: &State) -> Section {
    let mut lines = Vec::new();
    let head = match (state.ready, &state.unknown) {
        _ if state.going_down => Text::of(Tone::Pending, "going down"),
        (_, Some(reason)) => Text::of(Tone::Bad, &format!("! PID 1 does not answer: {reason}")),
        (Some(after), None) => Text::of(Tone::Good, "ready").with(&format!(
            " {}.{} s after kernel start",
            after.as_secs(),
            after.subsec_millis() / 100
        )),
        (None, None) => Text::of(Tone::Pending, "not ready"),
    };
    let watchdog = if state.watchdog { ", watchdog armed" } else { ", no hardware watchdog" };
    lines.push(if state.unknown.is_none() { head.with(watchdog) } else { head });
    for (name, reason) in &state.failed_phases {
        lines.push(
            Text::of(Tone::Bad, &format!("! phase {name} failed")).with(&format!(": {reason}")),
        );
    }
    if !state.update.is_empty() {
        lines.push(Text::plain(format!("update: {}", state.update)));
    }
    Section { label: "Node", least: lines.len().min(3), lines, keeps_end: false }
}

fn network(state: &State) -> Section {
    let widest = state.links.iter().map(|link| link.name.len()).max().unwrap_or(0);
    let mut links: Vec<_> = state.links.iter().collect();
    // The ones that carry something first.
    links.sort_by_key(|link| (!link.carrier, link.addresses.is_empty()));
    let mut lines: Vec<_> = links
        .into_iter()
        .map(|link| {
            let text = Text::plain(format!("{:widest$}  ", link.name));
            match (link.carrier, link.addresses.is_empty()) {
                (false, _) => text.and(Tone::Pending, "no carrier"),
                (true, true) => text.and(Tone::Pending, "no address"),
                (true, false) => text.with(&link.addresses.join("  ")),
            }
        })
        .collect();
    if lines.is_empty() {
        lines.push(Text::of(Tone::Pending, "no link"));
    }
    let mut ways = Vec::new();
    if !state.gateways.is_empty() {
        ways.push(format!("gateway {}", state.gateways.join(" ")));
    }
    if !state.dns.is_empty() {
        ways.push(format!("DNS {}", state.dns.join(" ")));
    }
    if !ways.is_empty() {
        // Second, so that many links do not push it out.
        lines.insert(1, Text::plain(ways.join("   ")));
    }
    Section { label: "Network", least: lines.len().min(2), lines, keeps_end: false }
}

fn load(state: &State) -> Section {
    let mut parts = Vec::new();
    if !state.load.is_empty() {
        parts.push(state.load.clone());
    }
    let parted = [("memory", state.memory), ("data", state.data)];
    for (name, whole) in parted.into_iter().filter_map(|(name, f)| Some((name, f?))) {
        parts.push(format!("{name} {}", filling(whole.used, whole.size)));
    }
    if let Some(heat) = state.temperature {
        parts.push(format!("{} C", (heat + 500).div_euclid(1000)));
    }
    let lines = if parts.is_empty() { Vec::new() } else { vec![Text::plain(parts.join("   "))] };
    Section { label: "Load", least: 1, lines, keeps_end: false }
}

/// The ones in order on as few lines as they need, each other one on its own.
fn services(state: &State, width: usize) -> Section {
    let (well, ill): (Vec<_>, Vec<_>) = state.services.iter().partition(|s| s.is_well());
    let mut lines: Vec<_> = ill.into_iter().map(ill_service).collect();
    let mut line = Text::default();
    for service in well {
        let piece = service.name.len() + " ready   ".len();
        if line.length() > 0 && line.length() + piece > width {
            lines.push(std::mem::take(&mut line));
        }
        line = line.with(&format!("{} ", service.name)).and(Tone::Good, "ready").with("   ");
    }
    if line.length() > 0 {
        lines.push(line);
    }
    Section { label: "Services", least: 1, lines, keeps_end: false }
}

fn ill_service(service: &Service) -> Text {
    let tone = if service.state == "starting" { Tone::Pending } else { Tone::Bad };
    let mark = if tone == Tone::Bad { "! " } else { "" };
    let mut text = Text::of(tone, &format!("{mark}{} {}", service.name, service.state));
    if let Some(exit) = &service.last_exit {
        text = text.with(&format!(": {exit}"));
    }
    if service.status.is_empty() { text } else { text.with(&format!("; {}", service.status)) }
}

fn pods(state: &State) -> Section {
    let Some(pods) = &state.pods else {
        let lines = vec![Text::of(Tone::Pending, "the agent has not said yet")];
        return Section { label: "Pods", least: 1, lines, keeps_end: false };
    };
    let ill: Vec<_> = pods.iter().filter(|pod| !pod.is_well()).collect();
    let head = match (pods.len(), ill.len()) {
        (0, _) => Text::plain("none"),
        (all, 0) => Text::of(Tone::Good, &format!("{all} well")),
        (all, ill) => Text::of(Tone::Bad, &format!("! {ill} of {all} not well")),
    };
    let mut lines = vec![head];
    lines.extend(ill.into_iter().map(ill_pod));
    Section { label: "Pods", least: lines.len().min(2), lines, keeps_end: false }
}

fn ill_pod(pod: &Pod) -> Text {
    let tone = if pod.status == "Pending" { Tone::Pending } else { Tone::Bad };
    let (ready, all) = pod.ready;
    Text::plain(format!("{}  {ready}/{all}  ", pod.name)).and(tone, &pod.status).with(&if pod
        .restarts
        > 0
    {
        format!("  {} restarts", pod.restarts)
    } else {
        String::new()
    })
}

fn errors(state: &State) -> Section {
    let mut lines: Vec<_> = state.errors.iter().map(|line| Text::plain(line.clone())).collect();
    if lines.is_empty() {
        lines.push(Text::plain("none"));
    }
    Section { label: "Errors", least: 1, lines, keeps_end: true }
}
