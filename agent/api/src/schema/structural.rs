//! A CRD's structural schema, as small as it can be kept.

use super::Node;
use crate::Value;

/// The type that a schema names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Kind {
    #[default]
    Unsaid,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// A schema and those below it.
#[derive(Debug, Clone, Default)]
pub struct Structural {
    /// The type.
    pub kind: Kind,
    /// Whether `null` may stand here.
    pub nullable: bool,
    /// Whether unknown members are kept.
    pub preserve_unknown: bool,
    /// Whether a whole Kubernetes object stands here.
    pub embedded: bool,
    /// 0 unsaid, 1 atomic, 2 set, 3 map.
    pub list_type: u16,
    /// The fields that tell a list's elements apart.
    pub list_keys: Vec<Box<str>>,
    /// Whether one writer owns the whole object.
    pub atomic: bool,
    /// Known members, in the order of their names.
    pub properties: Vec<(Box<str>, Structural)>,
    /// Elements of an array.
    pub items: Option<Box<Structural>>,
    /// Values of a map.
    pub additional: Option<Box<Structural>>,
    /// What is put where nothing is.
    pub default: Option<Value>,
    /// Value rules, as the CRD writes them; absent when there are none.
    pub rules: Option<Box<Value>>,
}

impl Structural {
    pub(super) fn property(&self, name: &str) -> Option<Node<'_>> {
        let at = self.properties.binary_search_by(|(own, _)| (**own).cmp(name));
        at.ok().map(|at| Node::of_structural(&self.properties[at].1))
    }

    pub(super) fn all_properties(&self) -> impl Iterator<Item = (&str, Node<'_>)> {
        self.properties.iter().map(|(name, schema)| (&**name, Node::of_structural(schema)))
    }
}
