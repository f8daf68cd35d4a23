//! A line of a page as pieces, each in its tone.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is, which decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// The word in the margin, or the head of a table.
    Label,
    /// As it should be.
    Good,
    /// On its way, or waiting.
    Pending,
    /// Wrong.
    Bad,
    /// The first and the last row.
    Bar,
}

impl Tone {
    /// How it looks. A terminal without colours has bold and reverse.
    pub(crate) fn style(self, colour: bool) -> Style {
        let style = Style::new();
        match self {
            Self::Plain => style,
            Self::Label => style.add_modifier(Modifier::BOLD),
            Self::Bar => style.add_modifier(Modifier::REVERSED),
            Self::Bad if colour => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Self::Bad => style.add_modifier(Modifier::BOLD),
            Self::Good if colour => style.fg(Color::Green),
            Self::Pending if colour => style.fg(Color::Yellow),
            Self::Good | Self::Pending => style,
        }
    }
}

/// A line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(Tone, String)>);

impl Text {
    /// A line in one tone.
    pub(crate) fn of(tone: Tone, words: &str) -> Self {
        Self(vec![(tone, words.to_owned())])
    }

    /// A line of nothing in particular.
    pub(crate) fn plain(words: impl Into<String>) -> Self {
        Self(vec![(Tone::Plain, words.into())])
    }

    /// The same with more in another tone.
    pub(crate) fn and(mut self, tone: Tone, words: &str) -> Self {
        self.0.push((tone, words.to_owned()));
        self
    }

    /// The same with more.
    pub(crate) fn with(self, words: &str) -> Self {
        self.and(Tone::Plain, words)
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Tone, &str)> {
        self.0.iter().map(|(tone, words)| (*tone, words.as_str()))
    }

    /// How many columns it takes, for what is ASCII.
    pub(crate) fn length(&self) -> usize {
        self.0.iter().map(|(_, words)| words.chars().count()).sum()
    }

    /// What it says, without its tones.
    #[cfg(test)]
    pub(crate) fn letters(&self) -> String {
        self.0.iter().map(|(_, words)| words.as_str()).collect()
    }
}
