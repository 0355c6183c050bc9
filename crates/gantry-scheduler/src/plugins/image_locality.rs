//! ImageLocality: prefers nodes that have the pod's images.

use crate::framework::{MAX_SCORE, Plugin};
use crate::info::{NodeInfo, PodInfo};

/// Images smaller than this do not count; larger ones count as this many bytes for each container.
const SMALLEST: i64 = 23 << 20;
const LARGEST: i64 = 1000 << 20;

pub struct ImageLocality;

impl Plugin for ImageLocality {
    fn weight(&self) -> i64 {
        1
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: usize) -> i64 {
        let sum: i64 = pod.images.iter().filter_map(|image| node.images.get(image)).sum();
        let most = LARGEST * (pod.images.len() as i64).max(1);
        MAX_SCORE * (sum.clamp(SMALLEST, most) - SMALLEST) / (most - SMALLEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::testing::{node, pod};
    use serde_json::json;

    #[test]
    fn images_count() {
        let check = |size: i64, image: &str, expected: i64| {
            let node = node(json!({"status": {"images": [{"names": ["app:latest"], "sizeBytes": size}]}}));
            let pod = pod(json!({"containers": [{"image": image}]}));
            assert_eq!(ImageLocality.score(&pod, &node, 1), expected, "{size} {image}");
        };
        check(LARGEST, "app", 100);
        check(2 * LARGEST, "app:latest", 100);
        check(SMALLEST, "app", 0);
        check(LARGEST, "other", 0);
    }
}
