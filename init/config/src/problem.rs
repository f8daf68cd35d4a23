//! What can be wrong with a document, told so that a person can mend it.

use std::fmt;

/// One thing that is wrong in a node document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the document, as the caller gave it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}; {}", self.file, self.line, self.column, self.what, self.right)
    }
}

impl std::error::Error for Problem {}
