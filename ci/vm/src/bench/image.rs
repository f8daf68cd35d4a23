//! The sizes of an image and of what it is made of, with the budgets that its build had to keep.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::BenchError;
use super::metric::Metrics;
use crate::disk::Disk;
use crate::scenario::ScenarioError;

const MIB: f64 = (1 << 20) as f64;

/// The files beside the image, and what their sizes are called.
const FILES: [(&str, &str); 5] = [
    ("image.compressed", "img.zst"),
    ("image.root", "root"),
    ("image.uki", "efi"),
    ("image.kernel", "vmlinuz"),
    ("image.initramfs", "initramfs.zst"),
];

/// The budgets in the manifest, and what they are called.
const BUDGETS: [(&str, &str); 2] = [("image.root_budget", "root"), ("image.uki_budget", "UKI")];

/// Reads sizes from files; nothing runs.
pub fn measure(image: &Path) -> Result<Metrics, BenchError> {
    let mut metrics = Metrics::default();
    for (name, end) in FILES {
        let path = image.with_extension(end);
        let size = std::fs::metadata(&path).map_err(beside(&path))?.len();
        metrics.add(name, "MiB", &[size as f64 / MIB]);
    }
    let path = image.with_extension("manifest.json");
    let text = std::fs::read_to_string(&path).map_err(beside(&path))?;
    for (name, what) in BUDGETS {
        let missing =
            || BenchError::Manifest { path: path.clone(), what: format!("budget for {what}") };
        metrics.add(name, "MiB", &[budget(&text, what).ok_or_else(missing)?]);
    }
    let partitions = Disk::of_image(image).partitions().map_err(ScenarioError::from)?;
    for partition in partitions {
        let name = format!("image.partition.{}", partition.name);
        metrics.add(&name, "MiB", &[partition.length as f64 / MIB]);
    }
    Ok(metrics)
}

/// MiB that the manifest allows `what`.
fn budget(manifest: &str, what: &str) -> Option<f64> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let budgets = manifest["budgets"].as_array()?;
    budgets.iter().find(|budget| budget["what"] == what)?["budget-mib"].as_f64()
}

fn beside(path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let path: PathBuf = path.to_owned();
    move |source| BenchError::Beside { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_found_by_what_it_bounds() {
        let manifest = r#"{"budgets": [
            {"what": "root", "bytes": 1, "budget-mib": 64}, {"what": "UKI", "budget-mib": 32}]}"#;
        assert_eq!(budget(manifest, "UKI"), Some(32.0));
        assert_eq!(budget(manifest, "root"), Some(64.0));
        assert_eq!(budget(manifest, "data"), None);
        assert_eq!(budget("", "root"), None);
    }

    #[test]
    fn an_image_without_its_build_names_the_file_that_lacks() {
        let error = measure(Path::new("/nowhere/a.img")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/a.img.zst"), "{error}");
    }
}
