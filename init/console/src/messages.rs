//! The kernel's log, which holds Holm's own announcements: its last messages, and
//! which of them are complaints.

use crate::plain::clean;
use std::collections::VecDeque;

/// More are forgotten, the oldest first.
const MOST: usize = 400;

/// The kernel's own words for how much a message matters.
const ERROR: u8 = 3;
const WARNING: u8 = 4;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 0 (the worst) to 7.
    pub level: u8,
    /// Milliseconds since the kernel started.
    pub millis: u64,
    /// What it says.
    pub text: String,
}

impl Message {
    /// Reads a record of `/dev/kmsg`: `level,number,microseconds,flags;text`.
    fn parse(record: &[u8]) -> Option<Self> {
        let record = String::from_utf8_lossy(record);
        let (head, body) = record.split_once(';')?;
        let mut fields = head.split(',');
        let level: u32 = fields.next()?.parse().ok()?;
        let micros: u64 = fields.nth(1)?.parse().ok()?;
        let text = clean(body.lines().next().unwrap_or_default());
        Some(Self { level: (level & 7) as u8, millis: micros / 1000, text })
    }

    /// As it is shown.
    pub(crate) fn line(&self) -> String {
        let (seconds, millis) = (self.millis / 1000, self.millis % 1000);
        format!("[{seconds:>5}.{millis:03}] {}", self.text)
    }

    /// Whether it says that something is wrong. Holm announces what goes well at the
    /// level that the console shows, so there its words decide.
    pub(crate) fn complains(&self) -> bool {
        match self.text.strip_prefix("holm: ") {
            None => self.level <= ERROR,
            Some(text) => {
                let goes_well = text.starts_with("ready ")
                    || (text.starts_with("phase ") && text.contains(" took "));
                self.level == WARNING || (self.level <= ERROR && !goes_well)
            }
        }
    }
}

/// The last messages.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    kept: VecDeque<Message>,
    shown: u64,
}

impl Messages {
    /// Takes in one record of `/dev/kmsg`. `threshold` is the console's: the kernel
    /// shows what is below it.
    pub fn take(&mut self, record: &[u8], threshold: u8) {
        let Some(message) = Message::parse(record) else {
            return;
        };
        self.shown += u64::from(message.level < threshold);
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(message);
    }

    /// How many the kernel has written over whatever a console showed.
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// All that are kept, as lines.
    pub fn lines(&self) -> Vec<String> {
        self.kept.iter().map(Message::line).collect()
    }

    /// The last `most` complaints, the newest last.
    pub fn complaints(&self, most: usize) -> Vec<String> {
        let mut found: Vec<_> =
            self.kept.iter().rev().filter(|m| m.complains()).take(most).collect();
        found.reverse();
        found.into_iter().map(Message::line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(records: &[&str]) -> Messages {
        let mut messages = Messages::default();
        for record in records {
            messages.take(record.as_bytes(), 4);
        }
        messages
    }

    #[test]
    fn complaints_are_told_from_what_goes_well() {
        let messages = messages(&[
            "6,1,1000000,-;Linux version 6.12",
            "11,2,1500000,-;holm: phase mounts took 3 ms\n SUBSYSTEM=x",
            "11,3,2500000,-;holm: phase storage failed after 9 ms: no disk",
            "11,4,3500000,-;holm: ready 3500 ms after kernel start",
            "3,5,4500000,-;mmc0: timeout",
            "12,6,5500000,-;holm: drivers: none fits",
            "4,7,6500000,-;random: a kernel's warning",
            "nonsense",
        ]);
        assert_eq!(
            messages.complaints(9),
            [
                "[    2.500] holm: phase storage failed after 9 ms: no disk",
                "[    4.500] mmc0: timeout",
                "[    5.500] holm: drivers: none fits",
            ]
        );
        assert_eq!(messages.complaints(1), ["[    5.500] holm: drivers: none fits"]);
        assert_eq!(messages.lines().len(), 7);
    }

    #[test]
    fn what_the_kernel_wrote_over_the_console_is_counted() {
        assert_eq!(messages(&["3,1,1,-;a", "4,2,1,-;b", "11,3,1,-;c"]).shown(), 2);
    }

    #[test]
    fn old_messages_are_forgotten() {
        let mut messages = Messages::default();
        for number in 0..MOST * 2 {
            messages.take(format!("6,{number},1000,-;m{number}").as_bytes(), 4);
        }
        assert_eq!(messages.lines().len(), MOST);
        assert!(messages.lines()[0].ends_with(&format!("m{MOST}")));
    }
}
