//! What is known of a feature gate.

use super::Feature;

/// How mature a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// New, and off.
    Alpha,
    /// Tried, and mostly on.
    Beta,
    /// There for good.
    Ga,
    /// About to go.
    Deprecated,
}

impl Stage {
    /// Its name in the metric `kubernetes_feature_enabled`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Alpha => "ALPHA",
            Stage::Beta => "BETA",
            Stage::Ga => "",
            Stage::Deprecated => "DEPRECATED",
        }
    }
}

/// A feature gate as the table has it.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub(super) stage: Stage,
    pub(super) default: bool,
    pub(super) locked: bool,
    pub(super) needs: &'static [Feature],
}

const fn spec(stage: Stage, default: bool) -> Spec {
    Spec {
        stage,
        default,
        locked: false,
        needs: &[],
    }
}

pub(super) const fn alpha(default: bool) -> Spec {
    spec(Stage::Alpha, default)
}

pub(super) const fn beta(default: bool) -> Spec {
    spec(Stage::Beta, default)
}

pub(super) const fn ga(default: bool) -> Spec {
    spec(Stage::Ga, default)
}

pub(super) const fn deprecated(default: bool) -> Spec {
    spec(Stage::Deprecated, default)
}

impl Spec {
    /// The gate cannot be set to anything but its default.
    pub(super) const fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    /// The gate can be on only with these.
    pub(super) const fn needs(mut self, features: &'static [Feature]) -> Self {
        self.needs = features;
        self
    }
}
