//! Measures an image: one file for each area, all reporting the same kind of metric.
//!
//! Must never estimate: a metric that could not be measured is absent, and its area says why.

pub mod boot;
pub mod container;
pub mod flash;
pub mod host;
pub mod image;
pub mod memory;
pub mod metric;
pub mod options;
pub mod pod;
pub mod power_cuts;
pub mod targets;

use std::path::PathBuf;

use crate::scenario::ScenarioError;

/// Why an area has no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A machine or what it ran.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A file that the image's build leaves.
    #[error("cannot read {}, which a build leaves beside the image", path.display())]
    Beside {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The build's manifest.
    #[error("{} names no {what}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is not there.
        what: String,
    },
    /// The image could not be written.
    #[error("cannot write the image")]
    Flash(#[source] holm_image::flash::Error),
    /// Peers or the program that measures them.
    #[error("cannot make ready what is compared")]
    Build(#[from] holm_image::build::Error),
    /// The environment does not say which image runs programs of the test's.
    #[error("HOLM_PAYLOAD_IMAGE names no image; 'ci/bench container' builds one and names it")]
    NoPayloadImage,
    /// The comparison ended early.
    #[error("the comparison of runtimes failed: {0}")]
    Comparison(String),
}
