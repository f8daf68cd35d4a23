//! The second page: every pod, those that are not well first.

use super::{Sheet, Text, Tone};
use crate::state::{Pod, State};
use ratatui::layout::Rect;

/// Draws it into `body`, `scroll` rows down.
pub(super) fn draw(sheet: &mut Sheet, state: &State, scroll: usize, body: Rect) {
    let mut pods: Vec<&Pod> = state.pods.iter().flatten().collect();
    pods.sort_by_key(|pod| pod.is_well());
    if pods.is_empty() {
        let word = if state.pods.is_some() { "no pods" } else { "the agent has not said yet" };
        sheet.write(1, body.y + 1, &Text::plain(word));
        return;
    }
    // The name gets what the other columns leave.
    let widest = pods.iter().map(|pod| pod.name.chars().count()).max().unwrap_or(4).max(4);
    let name = widest.min(usize::from(body.width).saturating_sub(46).max(12));
    let row = |cells: [&str; 5]| {
        let [pod, ready, status, restarts, ip] = cells;
        format!("{:<name$}  {ready:<5}  {status:<18}  {restarts:>8}  {ip}", cut_to(pod, name))
    };
    let head = row(["POD", "READY", "STATUS", "RESTARTS", "IP"]);
    sheet.write(1, body.y, &Text::of(Tone::Label, &head));
    let room = usize::from(body.height) - 1;
    let first = scroll.min(pods.len().saturating_sub(room));
    for (y, pod) in (body.y + 1..).zip(pods.into_iter().skip(first).take(room)) {
        let ready = format!("{}/{}", pod.ready.0, pod.ready.1);
        let ip = if pod.ip.is_empty() { "-" } else { &pod.ip };
        let line = row([&pod.name, &ready, &pod.status, &pod.restarts.to_string(), ip]);
        let tone = if pod.is_well() { Tone::Plain } else { Tone::Bad };
        sheet.write(0, y, &Text::of(tone, if pod.is_well() { " " } else { "!" }));
        sheet.write(1, y, &Text::of(tone, &line));
    }
}

/// `text`, with its end left out when it is longer than `width`.
fn cut_to(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}
