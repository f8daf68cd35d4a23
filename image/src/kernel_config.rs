//! Fragments of kernel configurations: laid over a whole one, and looked for in the result. Pure.
//! Must never take an option for set that the kernel's own tool has dropped.

use std::collections::BTreeMap;

/// The options that a configuration or fragment sets, by name; `n` where it says `is not set`.
pub fn options(text: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        if let Some(name) = unset.filter(|name| is_option(name)) {
            found.insert(name, "n");
        } else if let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_option(name))
        {
            found.insert(name, value);
        }
    }
    found
}

fn is_option(name: &str) -> bool {
    let rest = name.strip_prefix("CONFIG_").unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `base` with what `fragment` sets in place of its own.
pub fn laid_over(base: &str, fragment: &str) -> String {
    let wanted = options(fragment);
    let is_kept = |line: &&str| options(line).keys().all(|name| !wanted.contains_key(name));
    let mut text: String = base.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
    for (name, value) in wanted {
        match value {
            "n" => text += &format!("# {name} is not set\n"),
            value => text += &format!("{name}={value}\n"),
        }
    }
    text
}

/// What of `fragment` a finished configuration does not keep, as `NAME is VALUE, not WANTED`.
pub fn lost(finished: &str, fragment: &str) -> Vec<String> {
    let found = options(finished);
    options(fragment)
        .into_iter()
        .filter_map(|(name, wanted)| {
            // The tool leaves out what cannot be asked for.
            let value = found.get(name).copied().unwrap_or("n");
            (value != wanted).then(|| format!("{name} is {value}, not {wanted}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str =
        "# Linux/arm64\nCONFIG_PCI=y\n# CONFIG_TEGRA is not set\nCONFIG_NAME=\"a=b\"\n";

    #[test]
    fn options_are_told_from_remarks() {
        let found = options(BASE);
        assert_eq!(found.len(), 3);
        assert_eq!((found["CONFIG_TEGRA"], found["CONFIG_NAME"]), ("n", "\"a=b\""));
        assert!(options("# CONFIG_X=y\nFOO=y\n# nothing is not set\nCONFIG_=y").is_empty());
    }

    #[test]
    fn fragment_replaces_and_adds_and_all_else_stays() {
        let text = laid_over(BASE, "CONFIG_TEGRA=m\n# CONFIG_PCI is not set\nCONFIG_NEW=y\n");
        let found = options(&text);
        assert_eq!(
            (found["CONFIG_TEGRA"], found["CONFIG_PCI"], found["CONFIG_NEW"]),
            ("m", "n", "y")
        );
        assert!(text.starts_with("# Linux/arm64\n") && text.contains("\"a=b\""), "{text}");
        assert_eq!(text.matches("CONFIG_TEGRA").count(), 1, "{text}");
    }

    #[test]
    fn dropped_option_is_lost_and_one_that_stays_off_is_not() {
        let fragment = "CONFIG_PCI=y\nCONFIG_TEGRA=m\n# CONFIG_GONE is not set\nCONFIG_WHAT=y\n";
        let expected = ["CONFIG_TEGRA is n, not m", "CONFIG_WHAT is n, not y"];
        assert_eq!(lost(BASE, fragment), expected);
    }

    proptest! {
        #[test]
        fn nothing_of_a_fragment_is_lost_by_laying_it_over(
            base in "(CONFIG_[A-C]=[ymn]\n|# CONFIG_[A-C] is not set\n){0,4}",
            fragment in "(CONFIG_[A-C]=[ym]\n|# CONFIG_[A-C] is not set\n){0,4}",
        ) {
            let text = laid_over(&base, &fragment);
            prop_assert_eq!(lost(&text, &fragment), Vec::<String>::new());
        }
    }
}
