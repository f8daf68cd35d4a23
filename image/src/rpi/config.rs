//! `config.txt` and `autoboot.txt`: written, and read as the firmware reads them. Pure.

use super::{COMMAND_LINE, INITRAMFS, KERNEL};

/// The firmware cuts a line here.
const LONGEST_LINE: usize = 98;

/// The settings of a slot: those that name its files, and `more`.
pub fn config_text(more: &[String]) -> String {
    let own =
        format!("kernel={KERNEL}\ninitramfs {INITRAMFS} followkernel\ncmdline={COMMAND_LINE}\n");
    let more: String = more.iter().map(|line| format!("{line}\n")).collect();
    format!("[all]\n{own}{more}")
}

/// Settings that are in force, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config(Vec<(String, String)>);

/// A line that the firmware does not take as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not text.
    #[error("line {0} is not ASCII")]
    Text(usize),
    /// What is past the limit is not read.
    #[error("line {0} has {1} characters; the firmware reads {LONGEST_LINE}")]
    Long(usize, usize),
    /// Neither a section, nor a setting, nor a comment.
    #[error("line {0} is neither [section], nor name=value, nor a comment: {1:?}")]
    Form(usize, String),
}

impl Config {
    /// Reads a file on a machine that passes the sections in `filters`; sections of the same kind
    /// replace each other, and there are only those of models and `[tryboot]` here, so the last
    /// section is what counts.
    ///
    /// # Errors
    /// The first [`Problem`]; the firmware itself would go on.
    pub fn parse(content: &[u8], filters: &[&str]) -> Result<Self, Problem> {
        let mut settings = Vec::new();
        let mut passes = true;
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii());
            let line = line.ok_or(Problem::Text(number))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() > LONGEST_LINE {
                return Err(Problem::Long(number, line.len()));
            }
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                passes = section == "all" || filters.contains(&section);
                continue;
            }
            // This one has no equals sign, against all custom.
            let (name, value) = match line.strip_prefix("initramfs ") {
                Some(value) => ("initramfs", value),
                None => {
                    let form = || Problem::Form(number, line.to_owned());
                    line.split_once('=').ok_or_else(form)?
                }
            };
            if passes {
                settings.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Ok(Self(settings))
    }

    /// The value of a setting; the last one counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str, filters: &[&str], name: &str) -> Option<String> {
        let config = Config::parse(text.as_bytes(), filters).expect("no problem");
        config.get(name).map(str::to_owned)
    }

    #[test]
    fn own_settings_name_the_slots_files_and_the_boards_follow() {
        let text = config_text(&["arm_64bit=1".into()]);
        let config = Config::parse(text.as_bytes(), &[]).expect("no problem");
        assert_eq!(config.get("kernel"), Some("vmlinuz"));
        assert_eq!(config.get("initramfs"), Some("initramfs followkernel"));
        assert_eq!(config.get("arm_64bit"), Some("1"));
        assert_eq!(config.get("gpu_mem"), None);
    }

    #[test]
    fn sections_of_other_models_do_not_count_and_the_last_value_does() {
        let text = "a=1\n[pi4]\na=4\n[pi3+]\na=3\n[all]\nb=2\r\n# a=9\n";
        assert_eq!(value(text, &["pi4", "pi400"], "a").as_deref(), Some("4"));
        assert_eq!(value(text, &["pi3", "pi3+"], "a").as_deref(), Some("3"));
        assert_eq!(value(text, &["pi5"], "a").as_deref(), Some("1"));
        assert_eq!(value(text, &["pi5"], "b").as_deref(), Some("2"));
        assert_eq!(value("[none]\nc=1\n", &["pi4"], "c"), None);
    }

    #[test]
    fn line_that_the_firmware_would_misread_is_named() {
        let parse = |text: &[u8]| Config::parse(text, &[]).expect_err("a problem");
        assert_eq!(parse(b"a=1\n\xc3\xa4=2\n"), Problem::Text(2));
        assert_eq!(parse(&[b'x'; 99]), Problem::Long(1, 99));
        assert_eq!(parse(b"\nkernel vmlinuz\n"), Problem::Form(2, "kernel vmlinuz".into()));
    }

    proptest! {
        #[test]
        fn any_content_is_survived(content in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Config::parse(&content, &["pi4"]);
        }
    }
}
