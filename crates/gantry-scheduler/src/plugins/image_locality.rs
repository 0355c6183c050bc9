//! ImageLocality: prefers nodes that have the pod's images.

use crate::framework::{MAX_SCORE, Plugin};
use crate::info::{Image, NodeInfo, PodInfo};
use std::sync::atomic::Ordering;

/// Images smaller than this do not count; larger ones count as this many bytes for each container.
const SMALLEST: i64 = 23 << 20;
const LARGEST: i64 = 1000 << 20;

pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, nodes: usize) -> i64 {
        // An image that few nodes have counts for less, lest they get all the pods.
        let spread = |image: &Image| {
            let part = image.nodes.load(Ordering::Relaxed) as f64 / nodes.max(1) as f64;
            (image.size as f64 * part) as i64
        };
        let sum: i64 = pod
            .images
            .iter()
            .filter_map(|image| node.images.get(image))
            .map(spread)
            .sum();
        let most = LARGEST * (pod.images.len() as i64).max(1);
        MAX_SCORE * (sum.clamp(SMALLEST, most) - SMALLEST) / (most - SMALLEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::plugins::testing::pod;
    use serde_json::json;

    #[test]
    fn images_count() {
        let check = |size: i64, having: usize, image: &str, expected: i64| {
            let mut cache = Cache::default();
            for i in 0..4 {
                let images = json!([{"names": ["app:latest"], "sizeBytes": size}]);
                let images = if i < having { images } else { json!([]) };
                cache.set_node(&json!({"metadata": {"name": i.to_string()}, "status": {"images": images}}));
            }
            let pod = pod(json!({"containers": [{"image": image}]}));
            let score = ImageLocality.score(&pod, &cache.places()[0], 4);
            assert_eq!(score, expected, "{size} {having} {image}");
        };
        check(LARGEST, 4, "app", 100);
        check(2 * LARGEST, 4, "app:latest", 100);
        check(2 * LARGEST, 2, "app", 100);
        check(SMALLEST, 4, "app", 0);
        check(LARGEST, 4, "other", 0);
        check(LARGEST, 1, "app", 23);
    }
}
