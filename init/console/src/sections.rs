//! How the lines of a page's sections share the height of a terminal.

use crate::pages::Text;

/// A part of a page: a word in the margin and lines beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// The word.
    pub(crate) label: &'static str,
    /// The lines, the most important first; never none.
    pub(crate) lines: Vec<Text>,
    /// How many of them it shows before others get more than theirs.
    pub(crate) least: usize,
    /// Whether the last lines are the ones to keep.
    pub(crate) keeps_end: bool,
}

/// How many lines each section gets of `height`: first what it needs at least, in
/// order, then the rest, in order.
pub(crate) fn share(sections: &[Section], height: usize) -> Vec<usize> {
    let mut left = height;
    let mut take = |wanted: usize| {
        let given = wanted.min(left);
        left -= given;
        given
    };
    let mut shares: Vec<_> =
        sections.iter().map(|section| take(section.least.min(section.lines.len()))).collect();
    for (share, section) in shares.iter_mut().zip(sections) {
        *share += take(section.lines.len() - *share);
    }
    shares
}

/// The lines of a section that `share` leaves, with a word about those left out.
pub(crate) fn cut(section: &Section, share: usize) -> Vec<Text> {
    let all = &section.lines;
    if share >= all.len() || share == 0 {
        return all.iter().take(share).cloned().collect();
    }
    let hidden = all.len() - share + 1;
    if share == 1 && !section.keeps_end {
        // One line that says something is worth more than a count alone.
        return vec![all[0].clone().with(&format!("  (and {} more)", hidden - 1))];
    }
    if section.keeps_end {
        return all[all.len() - share..].to_vec();
    }
    let mut lines = all[..share - 1].to_vec();
    lines.push(Text::plain(format!("and {hidden} more")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section(count: usize, least: usize) -> Section {
        let lines = (0..count).map(|n| Text::plain(format!("line {n}"))).collect();
        Section { label: "x", lines, least, keeps_end: false }
    }

    fn texts(lines: &[Text]) -> Vec<String> {
        lines.iter().map(Text::letters).collect()
    }

    #[test]
    fn everybody_gets_the_least_before_anybody_gets_more() {
        let sections = [section(5, 1), section(5, 2), section(5, 1)];
        assert_eq!(share(&sections, 4), [1, 2, 1]);
        assert_eq!(share(&sections, 6), [3, 2, 1]);
        assert_eq!(share(&sections, 2), [1, 1, 0]);
        assert_eq!(share(&sections, 99), [5, 5, 5]);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        assert_eq!(texts(&cut(&section(5, 1), 3)), ["line 0", "line 1", "and 3 more"]);
        assert_eq!(texts(&cut(&section(5, 1), 1)), ["line 0  (and 4 more)"]);
        assert_eq!(texts(&cut(&section(2, 1), 2)), ["line 0", "line 1"]);
        let newest = Section { keeps_end: true, ..section(5, 1) };
        assert_eq!(texts(&cut(&newest, 2)), ["line 3", "line 4"]);
    }

    proptest! {
        #[test]
        fn no_more_is_shown_than_there_is_room(
            counts in proptest::collection::vec((1usize..9, 0usize..4), 1..6), height in 0usize..40
        ) {
            let sections: Vec<_> = counts.into_iter().map(|(n, least)| section(n, least)).collect();
            let shares = share(&sections, height);
            prop_assert!(shares.iter().sum::<usize>() <= height);
            for (section, share) in sections.iter().zip(shares) {
                prop_assert_eq!(cut(section, share).len(), share);
            }
        }
    }
}
