//! CRDs: resources that are added while the server runs.

/// What only a CRD says about its resource.
#[derive(Debug, Clone, Default)]
pub struct Custom {
    /// Columns of tables.
    pub columns: Vec<crate::Value>,
}
