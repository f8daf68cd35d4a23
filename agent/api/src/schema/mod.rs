//! Shapes of objects. The table carries those of built-in kinds; CRDs bring their own; [`Node`] is
//! a place in either, so that all code that walks an object is written once.
//!
//! The table is embedded compressed and read in place: its rows are never expanded into the heap.

mod node;
pub mod structural;
mod table;
#[cfg(test)]
mod tests;

pub use node::{ListKind, Node, Shape};
pub use table::{TypeId, all_types, known_name};

use crate::Gvk;
use std::sync::Arc;
use structural::Structural;

/// The shape of a resource's objects.
#[derive(Debug, Clone)]
pub enum Schema {
    /// A type of the table.
    BuiltIn(TypeId),
    /// A CRD's structural schema.
    Custom(Arc<Structural>),
}

impl Schema {
    /// The type of a built-in kind.
    pub fn built_in(gvk: &Gvk) -> Option<Self> {
        TypeId::of_kind(gvk).map(Self::BuiltIn)
    }

    /// The place of a whole object.
    pub fn node(&self) -> Node<'_> {
        match self {
            Self::BuiltIn(id) => Node::of_type(*id),
            Self::Custom(root) => Node::of_structural(root),
        }
    }
}
