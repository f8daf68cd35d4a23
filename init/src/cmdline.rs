//! Reads the kernel command line as the kernel itself reads it.
//! Never interprets a value: whoever owns a key parses it.

/// The words of a kernel command line, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cmdline {
    words: Vec<(String, Option<String>)>,
}

impl Cmdline {
    /// Splits `text` at white space outside double quotes, and each word at its
    /// first `=`. What follows a word `--` is for init's own argument list and
    /// is not looked at.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = Vec::new();
        for word in split(text) {
            if word == "--" {
                break;
            }
            words.push(match word.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (word, None),
            });
        }
        Self { words }
    }

    /// The command line of the running kernel; needs `/proc`.
    pub(crate) fn read() -> std::io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string("/proc/cmdline")?))
    }

    /// The last value given for `key`: a later argument overrides an earlier one.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let found = self.words.iter().rev().find(|(k, _)| k == key);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// Whether `key` is there, with a value or without.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.words.iter().any(|(k, _)| k == key)
    }

    /// Parses the value of `key`; a missing or unreadable value gives `default`.
    pub(crate) fn number(&self, key: &str, default: u64) -> u64 {
        let value = self.value(key).and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    }

    /// The options that the command line gives to a loadable module: what is
    /// written `module.option=value`, in the form that the kernel takes them.
    /// Dashes and underscores are the same in a module's name.
    pub(crate) fn module_options(&self, module: &str) -> String {
        let options = self.words.iter().filter_map(|(key, value)| {
            let (owner, option) = key.split_once('.')?;
            (owner.replace('-', "_") == module).then(|| match value {
                Some(value) if value.contains(' ') => format!("{option}=\"{value}\""),
                Some(value) => format!("{option}={value}"),
                None => option.to_owned(),
            })
        });
        options.collect::<Vec<_>>().join(" ")
    }
}

fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn later_value_overrides_earlier_one() {
        let cmdline = Cmdline::parse("quiet holm.slot=a holm.slot=b\n");
        assert_eq!(cmdline.value("holm.slot"), Some("b"));
        assert_eq!(cmdline.value("quiet"), None);
        assert_eq!(cmdline.value("absent"), None);
    }

    #[test]
    fn quotes_keep_spaces_and_vanish() {
        let cmdline = Cmdline::parse(r#"a="x y" "b=1 2" c"#);
        assert_eq!(cmdline.value("a"), Some("x y"));
        assert_eq!(cmdline.value("b"), Some("1 2"));
    }

    #[test]
    fn value_may_hold_equal_signs() {
        let cmdline = Cmdline::parse("holm.config=W25vZGVdCg==");
        assert_eq!(cmdline.value("holm.config"), Some("W25vZGVdCg=="));
    }

    #[test]
    fn words_after_the_double_dash_are_for_init() {
        let cmdline = Cmdline::parse("a=1 -- a=2");
        assert_eq!(cmdline.value("a"), Some("1"));
    }

    #[test]
    fn unreadable_number_gives_the_default() {
        let cmdline = Cmdline::parse("a=12 b=x");
        assert_eq!(cmdline.number("a", 7), 12);
        assert_eq!(cmdline.number("b", 7), 7);
        assert_eq!(cmdline.number("c", 7), 7);
    }

    #[test]
    fn module_options_are_collected_under_either_spelling() {
        let cmdline = Cmdline::parse("i6300esb.heartbeat=30 dm-verity.x dm_verity.y=1 other.y=2");
        assert_eq!(cmdline.module_options("i6300esb"), "heartbeat=30");
        assert_eq!(cmdline.module_options("dm_verity"), "x y=1");
        assert_eq!(cmdline.module_options("none"), "");
    }

    proptest! {
        #[test]
        fn any_text_parses_without_empty_words(text in ".*") {
            for (key, value) in Cmdline::parse(&text).words {
                prop_assert!(!key.is_empty() || value.is_some());
            }
        }
    }
}
