//! Counters of the server, in Prometheus' text form.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: AtomicU64,
    ranges: AtomicU64,
    missing: AtomicU64,
    bytes: AtomicU64,
    reports: AtomicU64,
}

impl Metrics {
    /// A request was answered with this status and so many bytes of a body.
    pub fn count(&self, status: u16, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        match status {
            206 => drop(self.ranges.fetch_add(1, Ordering::Relaxed)),
            404 => drop(self.missing.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// A report was kept.
    pub fn count_report(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }

    /// The text; `fleet` are nodes by version and state.
    pub fn text(&self, fleet: &[(String, String, u64)]) -> String {
        let mut text = String::new();
        for (name, help, value) in [
            ("requests", "Requests answered", &self.requests),
            ("range_requests", "Requests answered with a range", &self.ranges),
            ("missing", "Requests for files that are not there", &self.missing),
            ("sent_bytes", "Bytes of files sent", &self.bytes),
            ("reports", "Reports of nodes", &self.reports),
        ] {
            let value = value.load(Ordering::Relaxed);
            text.push_str(&format!(
                "# HELP holm_serve_{name}_total {help}.\n# TYPE holm_serve_{name}_total counter\n\
                 holm_serve_{name}_total {value}\n"
            ));
        }
        text.push_str("# HELP holm_nodes Nodes by version and state.\n# TYPE holm_nodes gauge\n");
        for (version, state, count) in fleet {
            // Both are of a bounded alphabet: a report with others is refused.
            text.push_str(&format!(
                "holm_nodes{{version=\"{version}\",state=\"{state}\"}} {count}\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_the_fleet_are_told() {
        let metrics = Metrics::default();
        metrics.count(206, 100);
        metrics.count(404, 0);
        metrics.count_report();
        let text = metrics.text(&[("1.2.3".into(), "committed".into(), 4)]);
        for line in [
            "holm_serve_requests_total 2",
            "holm_serve_range_requests_total 1",
            "holm_serve_missing_total 1",
            "holm_serve_sent_bytes_total 100",
            "holm_serve_reports_total 1",
            "holm_nodes{version=\"1.2.3\",state=\"committed\"} 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }
}
