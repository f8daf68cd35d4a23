//! The fleet as one page of plain HTML, without script or any other resource. Pure.

use holm_payload::Release;
use jiff::Timestamp;

use crate::reports::Node;

const STYLE: &str = "body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}\
    td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;vertical-align:top}\
    .bad{background:#fdd}.late{color:#888}pre{margin:0;white-space:pre-wrap}";

/// A node that is silent for longer is shown as such, in seconds.
const LATE: i64 = 2 * 86400;

/// The page.
pub fn fleet(nodes: &[Node], releases: &[Release], now: Timestamp) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Holm fleet</title>\
         <style>{STYLE}</style><h1>Fleet</h1><p>{} nodes at {}</p>",
        nodes.len(),
        now.strftime("%Y-%m-%d %H:%M UTC"),
    );
    html.push_str(
        "<h2>Releases</h2><table><tr><th>Board<th>Version<th>Channel<th>Turn has come for\
         <th>Run it<th>Failed on</tr>",
    );
    for release in releases {
        for (channel, rollout) in &release.channels {
            let version = release.version.to_string();
            let of_board = || {
                nodes.iter().filter(|node| node.board == release.board && node.channel == *channel)
            };
            let run = of_board().filter(|node| node.version == version).count();
            let failed = of_board().filter(|node| node.failed == version).count();
            let class = if failed > 0 { " class=\"bad\"" } else { "" };
            let urgent = if rollout.urgent { ", urgent" } else { "" };
            html.push_str(&format!(
                "<tr{class}><td>{}<td>{}<td>{}{urgent}<td>{}%<td>{run} of {}<td>{failed}</tr>",
                escape(&release.board),
                escape(&version),
                escape(channel),
                rollout.waves.share(rollout.start, now),
                of_board().count(),
            ));
        }
    }
    html.push_str(
        "</table><h2>Nodes</h2><table><tr><th>Node<th>Board<th>Channel<th>Runs<th>State<th>Wants\
         <th>Went back from<th>Why<th>Last heard</tr>",
    );
    for node in nodes {
        let silent = now.as_second().saturating_sub(node.seen);
        let class = match (node.failed.is_empty(), silent > LATE) {
            (false, _) => " class=\"bad\"",
            (true, true) => " class=\"late\"",
            (true, false) => "",
        };
        let log = match node.log.is_empty() {
            true => String::new(),
            false => format!("<pre>{}</pre>", escape(&node.log)),
        };
        html.push_str(&format!("<tr{class}>"));
        for text in [
            &node.name,
            &node.board,
            &node.channel,
            &node.version,
            &node.state,
            &node.wanted,
            &node.failed,
        ] {
            html.push_str(&format!("<td>{}", escape(text)));
        }
        html.push_str(&format!("<td>{}{log}<td>{} ago</tr>", escape(&node.why), since(silent)));
    }
    html.push_str("</table></html>\n");
    html
}

fn since(seconds: i64) -> String {
    match seconds.max(0) {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7200 => format!("{} min", seconds / 60),
        seconds if seconds < 2 * 86400 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holm_payload::{Rollout, Schedule};

    use super::*;

    fn node(name: &str, version: &str, failed: &str) -> Node {
        Node {
            name: name.into(),
            board: "x86-64".into(),
            channel: "stable".into(),
            version: version.into(),
            state: "committed".into(),
            failed: failed.into(),
            why: "<b>&\"".into(),
            seen: 1000,
            ..Node::default()
        }
    }

    #[test]
    fn page_counts_who_runs_and_who_failed_a_release() {
        let waves = Schedule(vec![(0, 50), (86400, 100)]);
        let start = Timestamp::from_second(1000).unwrap();
        let rollout = Rollout { start, urgent: false, waves };
        let release = Release {
            board: "x86-64".into(),
            version: "1.1.0".parse().unwrap(),
            root_hash: String::new(),
            hash_offset: 0,
            minimum_version: None,
            notes: String::new(),
            channels: BTreeMap::from([("stable".to_owned(), rollout)]),
            data: String::new(),
            parts: Vec::new(),
        };
        let nodes = [node("a", "1.1.0", ""), node("b", "1.0.0", "1.1.0"), node("c", "1.0.0", "")];
        let now = Timestamp::from_second(1060).unwrap();
        let page = fleet(&nodes, &[release], now);
        assert!(
            page.contains("<td>x86-64<td>1.1.0<td>stable<td>50%<td>1 of 3<td>1</tr>"),
            "{page}"
        );
        assert!(page.contains("60 s ago") && page.contains("3 nodes"));
    }

    #[test]
    fn what_nodes_say_is_text_and_nothing_outside_is_asked_for() {
        let page =
            fleet(&[node("<script>", "1", "")], &[], Timestamp::from_second(9e5 as i64).unwrap());
        assert!(!page.contains("<script") && page.contains("&lt;b&gt;&amp;&quot;"));
        for outside in ["http", "src=", "href=", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("class=\"late\""));
    }
}
