//! Patches of the three kinds that are pure functions of an object and a document. Server-side apply
//! has [`crate::apply`].

pub mod json;
pub mod merge;
pub mod strategic;
#[cfg(test)]
mod tests;

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself makes no sense: 400.
    #[error("{0}")]
    Malformed(String),
    /// It does not fit the object: 422.
    #[error("{0}")]
    Unfit(String),
}
