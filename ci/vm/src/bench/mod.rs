//! Measures an image: one file for each area, all reporting the same kind of metric.
//!
//! Must never estimate: a metric that could not be measured is absent, and its area says why.

pub mod boot;
pub mod memory;
pub mod metric;
pub mod pod;
