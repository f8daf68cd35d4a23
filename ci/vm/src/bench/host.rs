//! How busy the machine is that measures: times from a busy one say little of Holm.

/// The mean number of processes that ran or waited for a processor in the last minute.
pub fn load() -> Option<f64> {
    parse(&std::fs::read_to_string("/proc/loadavg").ok()?)
}

/// A sentence when others leave no processor to the measurement.
pub fn warning(load: f64, processors: usize) -> Option<String> {
    (load >= processors as f64).then(|| {
        format!("a load of {load} on {processors} processors: times will be longer than they are")
    })
}

fn parse(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_the_last_minute_is_read() {
        assert_eq!(parse("9.27 7.06 4.90 3/311 1234\n"), Some(9.27));
        assert_eq!(parse(""), None);
        assert!(load().is_some());
    }

    #[test]
    fn only_a_machine_without_a_free_processor_is_warned_of() {
        assert_eq!(warning(1.2, 2), None);
        assert!(warning(2.0, 2).is_some_and(|text| text.contains("load of 2 on 2")));
    }
}
