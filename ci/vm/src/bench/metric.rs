//! A measured figure with its runs, and how figures are shown and stored. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

/// One metric: the median of its runs, and their extremes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// The median.
    pub value: f64,
    /// The unit of all three values.
    pub unit: &'static str,
    /// How many runs there were.
    pub runs: usize,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// Metrics by name: `area.what`, and a peer's name as suffix where a peer was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, Metric>);

impl Metrics {
    /// Adds a metric from its runs; without runs there is nothing to add.
    pub fn add(&mut self, name: &str, unit: &'static str, runs: &[f64]) {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (sorted.first(), sorted.last()) else { return };
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let metric = Metric {
            value: rounded(f64::midpoint(low, high)),
            unit,
            runs: sorted.len(),
            min: rounded(*min),
            max: rounded(*max),
        };
        self.0.insert(name.to_owned(), metric);
    }

    /// Adds how many of `runs` came out well.
    pub fn add_count(&mut self, name: &str, unit: &'static str, count: u32, runs: usize) {
        let value = f64::from(count);
        let metric = Metric { value, unit, runs, min: value, max: value };
        self.0.insert(name.to_owned(), metric);
    }

    /// Takes over the metrics of another area.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The metric of that name.
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.get(name)
    }

    /// One flat JSON object.
    pub fn json(&self) -> String {
        let object = serde_json::to_string_pretty(&self.0);
        object.map_or_else(|error| format!("{{\"error\": \"{error}\"}}"), |text| text + "\n")
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let width = self.0.keys().map(String::len).max().unwrap_or_default();
        let mut table = format!(
            "{:width$} {:>12} {:5} {:>5} {:>12} {:>12}\n",
            "metric", "value", "unit", "runs", "min", "max"
        );
        for (name, Metric { value, unit, runs, min, max }) in &self.0 {
            table.push_str(&format!(
                "{name:width$} {value:>12} {unit:5} {runs:>5} {min:>12} {max:>12}\n"
            ));
        }
        table
    }
}

/// Three decimals are more than any of these measurements repeats.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(runs: &[f64]) -> Metric {
        let mut metrics = Metrics::default();
        metrics.add("x", "ms", runs);
        metrics.get("x").unwrap().clone()
    }

    #[test]
    fn a_metric_is_the_median_and_the_extremes() {
        let odd = of(&[9.0, 1.0, 3.0]);
        assert_eq!((odd.value, odd.min, odd.max, odd.runs), (3.0, 1.0, 9.0, 3));
        assert_eq!(of(&[1.0, 2.0, 4.0, 9.0]).value, 3.0);
        assert_eq!(of(&[1.23456]).value, 1.235);
    }

    #[test]
    fn no_runs_make_no_metric() {
        let mut metrics = Metrics::default();
        metrics.add("x", "ms", &[]);
        assert_eq!(metrics, Metrics::default());
    }

    #[test]
    fn a_count_keeps_its_runs_apart_from_its_value() {
        let mut metrics = Metrics::default();
        metrics.add_count("cuts", "cuts", 4, 5);
        let cuts = metrics.get("cuts").unwrap();
        assert_eq!((cuts.value, cuts.min, cuts.max, cuts.runs), (4.0, 4.0, 4.0, 5));
    }

    #[test]
    fn the_json_is_flat_and_complete() {
        let mut metrics = Metrics::default();
        metrics.add("boot.ready", "s", &[2.0]);
        metrics.add("container.create_start.runc", "ms", &[80.0, 90.0]);
        let json: serde_json::Value = serde_json::from_str(&metrics.json()).unwrap();
        let expected = serde_json::json!({
            "boot.ready": {"value": 2.0, "unit": "s", "runs": 1, "min": 2.0, "max": 2.0},
            "container.create_start.runc":
                {"value": 85.0, "unit": "ms", "runs": 2, "min": 80.0, "max": 90.0},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_table_has_a_line_for_each_metric() {
        let mut metrics = Metrics::default();
        metrics.add("a", "MiB", &[1.0]);
        metrics.add("long.name", "ms", &[2.5]);
        let table = metrics.table();
        assert_eq!(table.lines().count(), 3);
        assert!(table.lines().nth(2).unwrap().starts_with("long.name          2.5 ms"), "{table}");
    }
}
