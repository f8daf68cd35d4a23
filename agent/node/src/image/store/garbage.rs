//! Which images and layers go when the disk fills.
//!
//! Pure. The rules are the kubelet's: above `high_percent`, remove what was unused for longest until
//! `low_percent` is reached, and never what was in use within `min_age`. Must never choose what a
//! container, a preloaded archive or a running pull needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::image::digest::Digest;
use crate::image::disk::Space;

use super::records::LayerKey;

/// When to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Percent of the file system in use above which collection begins.
    pub high_percent: u8,
    /// Percent in use at which it ends.
    pub low_percent: u8,
    /// What was in use within this time stays.
    pub min_age: Duration,
}

impl From<&holm_config::Images> for Thresholds {
    fn from(images: &holm_config::Images) -> Self {
        Self {
            high_percent: images.gc_high_percent,
            low_percent: images.gc_low_percent,
            min_age: images.gc_min_age,
        }
    }
}

/// An image as the collector sees it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub id: Digest,
    pub layers: Vec<LayerKey>,
    /// `None`: needed.
    pub unused_since: Option<Instant>,
}

/// A layer as the collector sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerUse {
    pub bytes: u64,
    /// A pull or an import needs it.
    pub pinned: bool,
    /// Since when no image has it, where none has.
    pub unused_since: Option<Instant>,
}

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub images: Vec<Digest>,
    pub layers: Vec<LayerKey>,
    pub bytes: u64,
    /// Bytes that are still missing to `low_percent`.
    pub short_by: u64,
}

pub(crate) fn plan(
    images: &[Candidate],
    layers: &BTreeMap<LayerKey, LayerUse>,
    space: Space,
    thresholds: Thresholds,
    now: Instant,
) -> Plan {
    let mut plan = Plan::default();
    let used = space.total.saturating_sub(space.free);
    let percent = |percent: u8| space.total / 100 * u64::from(percent.min(100));
    if used <= percent(thresholds.high_percent) {
        return plan;
    }
    plan.short_by = used.saturating_sub(percent(thresholds.low_percent));
    let old = |since: Option<Instant>| {
        since.filter(|&since| now.saturating_duration_since(since) >= thresholds.min_age)
    };
    let mut users: BTreeMap<&LayerKey, usize> = BTreeMap::new();
    for key in images.iter().flat_map(|image| unique(&image.layers)) {
        *users.entry(key).or_default() += 1;
    }

    // Layers of pulls that were never finished.
    for (key, layer) in layers {
        let free = !layer.pinned && !users.contains_key(key) && old(layer.unused_since).is_some();
        if plan.short_by > 0 && free {
            plan.take(key, layer.bytes);
        }
    }
    let mut unused: Vec<_> =
        images.iter().filter_map(|image| Some((old(image.unused_since)?, image))).collect();
    unused.sort_by(|(a, one), (b, two)| a.cmp(b).then_with(|| one.id.cmp(&two.id)));
    for (_, image) in unused {
        if plan.short_by == 0 {
            break;
        }
        plan.images.push(image.id.clone());
        for key in unique(&image.layers) {
            let left = users.entry(key).or_default();
            *left = left.saturating_sub(1);
            match layers.get(key) {
                Some(layer) if *left == 0 && !layer.pinned => plan.take(key, layer.bytes),
                _ => {}
            }
        }
    }
    plan
}

impl Plan {
    fn take(&mut self, key: &LayerKey, bytes: u64) {
        self.layers.push(key.clone());
        self.bytes += bytes;
        self.short_by = self.short_by.saturating_sub(bytes);
    }
}

fn unique(layers: &[LayerKey]) -> BTreeSet<&LayerKey> {
    layers.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Thresholds =
        Thresholds { high_percent: 85, low_percent: 80, min_age: Duration::from_secs(120) };

    fn key(n: u32) -> LayerKey {
        LayerKey::parse(&format!("d{n:032x}")).unwrap()
    }

    fn id(n: u32) -> Digest {
        Digest::of(&n.to_le_bytes())
    }

    fn full(percent: u64) -> Space {
        Space { total: 1000, free: 1000 - percent * 10 }
    }

    struct Case {
        start: Instant,
        images: Vec<Candidate>,
        layers: BTreeMap<LayerKey, LayerUse>,
    }

    impl Case {
        fn new() -> Self {
            Self { start: Instant::now(), images: Vec::new(), layers: BTreeMap::new() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn image(mut self, n: u32, unused_since: Option<u64>, layers: &[(u32, u64)]) -> Self {
            for &(layer, bytes) in layers {
                let layer_use = LayerUse { bytes, pinned: false, unused_since: None };
                self.layers.insert(key(layer), layer_use);
            }
            let layers = layers.iter().map(|&(layer, _)| key(layer)).collect();
            let unused_since = unused_since.map(|s| self.at(s));
            self.images.push(Candidate { id: id(n), layers, unused_since });
            self
        }

        fn plan(&self, space: Space, now: u64) -> Plan {
            plan(&self.images, &self.layers, space, RULES, self.at(now))
        }
    }

    #[test]
    fn nothing_goes_below_the_high_mark() {
        let case = Case::new().image(1, Some(0), &[(1, 500)]);
        assert_eq!(case.plan(full(85), 10_000), Plan::default());
    }

    #[test]
    fn longest_unused_goes_first_until_the_low_mark() {
        let case = Case::new()
            .image(1, Some(50), &[(1, 60)])
            .image(2, Some(10), &[(2, 60)])
            .image(3, Some(30), &[(3, 60)])
            .image(4, None, &[(4, 60)]);
        let plan = case.plan(full(90), 1000);
        assert_eq!(plan.images, [id(2), id(3)]);
        assert_eq!((plan.bytes, plan.short_by), (120, 0));
    }

    #[test]
    fn shared_layers_stay_while_an_image_has_them() {
        let case = Case::new().image(1, Some(0), &[(1, 500), (2, 10), (2, 10)]).image(
            2,
            None,
            &[(1, 500), (3, 10)],
        );
        let plan = case.plan(full(95), 1000);
        assert_eq!(plan.images, [id(1)]);
        assert_eq!(plan.layers, [key(2)]);
        assert_eq!(plan.short_by, 150 - 10);
    }

    #[test]
    fn layer_shared_by_two_unused_images_goes_with_the_last() {
        let case = Case::new().image(1, Some(0), &[(1, 100)]).image(2, Some(1), &[(1, 100)]);
        let plan = case.plan(full(90), 1000);
        assert_eq!((plan.images.len(), plan.layers.len(), plan.bytes), (2, 1, 100));
    }

    #[test]
    fn what_was_in_use_lately_stays() {
        let case = Case::new().image(1, Some(900), &[(1, 500)]);
        assert_eq!(case.plan(full(99), 1000).images, []);
        assert_eq!(case.plan(full(99), 1020).images, [id(1)]);
    }

    #[test]
    fn layers_without_an_image_go_first_unless_a_pull_needs_them() {
        let mut case = Case::new().image(1, Some(0), &[(1, 500)]);
        let since = Some(case.start);
        let orphan = LayerUse { bytes: 200, pinned: false, unused_since: since };
        case.layers.insert(key(8), orphan);
        case.layers.insert(key(9), LayerUse { pinned: true, ..orphan });
        let plan = case.plan(full(90), 1000);
        assert_eq!((plan.images.len(), plan.layers), (0, vec![key(8)]));
    }

    proptest::proptest! {
        #[test]
        fn no_layer_of_a_kept_image_ever_goes(
            images in proptest::collection::vec(
                (proptest::option::of(0u64..500), proptest::collection::vec((0u32..6, 0u64..300), 0..5)), 0..8),
            percent in 0u64..101,
            now in 0u64..1000,
        ) {
            let mut case = Case::new();
            for (n, (unused_since, layers)) in images.iter().enumerate() {
                case = case.image(u32::try_from(n).unwrap(), *unused_since, layers);
            }
            let plan = case.plan(full(percent), now);
            let kept = case.images.iter().filter(|image| !plan.images.contains(&image.id));
            for image in kept {
                assert!(image.layers.iter().all(|key| !plan.layers.contains(key)));
            }
            let gone = case.images.iter().filter(|image| plan.images.contains(&image.id));
            for image in gone {
                assert!(image.unused_since.is_some_and(|s| case.at(now) >= s + RULES.min_age));
            }
        }
    }
}
