//! Feature gates: which features that are not there for good, or not yet, are on.
//!
//! `table.rs` knows all gates of Kubernetes 1.36. A process has one set of them, from its command line: [`set`] is
//! called first of all, and what depends on a gate asks [`enabled`].

mod spec;
mod table;

pub use spec::Stage;
pub use table::Feature;

use spec::Spec;
use std::sync::OnceLock;
use table::{FEATURES, SPECS};

/// Makes the enum of all gates, and their specs in the same order.
macro_rules! gates {
    ($($name:ident = $spec:expr;)*) => {
        /// A feature gate, by upstream's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "upstream documents its features")]
        pub enum Feature {
            $($name,)*
        }

        use Feature::*;

        pub(super) const FEATURES: &[(&str, Feature)] = &[$((stringify!($name), $name),)*];
        pub(super) const SPECS: [super::Spec; FEATURES.len()] = [$($spec,)*];
    };
}
use gates;

impl Feature {
    /// Its name.
    pub fn name(self) -> &'static str {
        FEATURES[self as usize].0
    }

    /// How mature it is.
    pub fn stage(self) -> Stage {
        self.spec().stage
    }

    fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }
}

/// Why gates cannot be set as they are asked to be. In upstream's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GateError {
    /// A name stands alone.
    #[error("missing bool value for {0}")]
    NoValue(String),
    /// A value is neither true nor false.
    #[error("invalid value of {0}={1}, err: strconv.ParseBool: parsing {1:?}: invalid syntax")]
    Value(String, String),
    /// There is no such gate.
    #[error("unrecognized feature gate: {0}")]
    Unknown(String),
    /// The gate is for a component that this is not.
    #[error("component not registered: {0}")]
    Component(String),
    /// The gate stays as it is.
    #[error("cannot set feature gate {0} to {1}, feature is locked to {2}")]
    Locked(&'static str, bool, bool),
    /// Another gate would have to be on, too.
    #[error("{0} is enabled, but depends on features that are disabled: [{1}]")]
    Needs(&'static str, String),
}

/// One gate and what it is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting(Feature, bool);

impl Setting {
    /// Reads `Name=true`. Upstream's binaries may hold several components, so `kube:` may stand before it.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        let name = match name.split_once(':') {
            Some(("kube", name)) => name,
            Some((component, _)) => return Err(GateError::Component(component.into())),
            None => name,
        };
        let on = match value {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(other) => return Err(GateError::Value(name.into(), other.into())),
            None => return Err(GateError::NoValue(name.into())),
        };
        let Some((name, feature)) = FEATURES.iter().find(|(known, _)| *known == name) else {
            return Err(GateError::Unknown(name.into()));
        };
        if feature.spec().locked && feature.spec().default != on {
            return Err(GateError::Locked(name, on, !on));
        }
        Ok(Setting(*feature, on))
    }
}

/// All gates, each on or off.
#[derive(Clone, Debug)]
pub struct Gates([bool; FEATURES.len()]);

impl Default for Gates {
    fn default() -> Self {
        Gates(SPECS.map(|spec| spec.default))
    }
}

impl Gates {
    /// The defaults with what is said otherwise; of two settings of one gate the last counts. `AllAlpha` and `AllBeta`
    /// set those of their stage that have no setting of their own.
    pub fn new(settings: &[Setting]) -> Result<Self, GateError> {
        let mut gates = Gates::default();
        for (all, stage) in [(Feature::AllAlpha, Stage::Alpha), (Feature::AllBeta, Stage::Beta)] {
            if let Some(Setting(_, on)) = settings.iter().rfind(|setting| setting.0 == all) {
                let special = |feature| matches!(feature, Feature::AllAlpha | Feature::AllBeta);
                let of_stage = FEATURES
                    .iter()
                    .filter(|(_, f)| f.stage() == stage && !special(*f));
                of_stage.for_each(|(_, feature)| gates.0[*feature as usize] = *on);
            }
        }
        for Setting(feature, on) in settings {
            gates.0[*feature as usize] = *on;
        }
        for (name, feature) in FEATURES.iter().filter(|(_, feature)| gates.enabled(*feature)) {
            let off = feature.spec().needs.iter().filter(|need| !gates.enabled(**need));
            let off: Vec<&str> = off.map(|need| need.name()).collect();
            if !off.is_empty() {
                return Err(GateError::Needs(name, off.join(" ")));
            }
        }
        Ok(gates)
    }

    /// Whether a feature is on.
    pub fn enabled(&self, feature: Feature) -> bool {
        self.0[feature as usize]
    }
}

static GATES: OnceLock<Gates> = OnceLock::new();

/// The gates were asked for, or set, before they were set.
#[derive(Debug, thiserror::Error)]
#[error("feature gates must be set before anything else is done")]
pub struct SetTooLate;

/// Sets the process's gates, before anything asks for them.
pub fn set(gates: Gates) -> Result<(), SetTooLate> {
    GATES.set(gates).map_err(|_| SetTooLate)
}

/// Whether a feature is on in this process.
pub fn enabled(feature: Feature) -> bool {
    #[cfg(test)]
    if let Some(on) = tests::overridden(feature) {
        return on;
    }
    GATES.get_or_init(Gates::default).enabled(feature)
}

/// All features, and whether each is on in this process.
pub fn all() -> impl Iterator<Item = (Feature, bool)> {
    FEATURES.iter().map(|(_, feature)| (*feature, enabled(*feature)))
}

#[cfg(test)]
pub(crate) use tests::during;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static OVERRIDES: RefCell<Vec<(Feature, bool)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn overridden(feature: Feature) -> Option<bool> {
        OVERRIDES.with_borrow(|all| all.iter().rfind(|(of, _)| *of == feature).map(|(_, on)| *on))
    }

    /// Runs a part of a test with a feature on or off, for this thread alone.
    pub(crate) fn during<T>(feature: Feature, on: bool, run: impl FnOnce() -> T) -> T {
        OVERRIDES.with_borrow_mut(|all| all.push((feature, on)));
        let result = run();
        OVERRIDES.with_borrow_mut(Vec::pop);
        result
    }

    fn gates(text: &str) -> Result<Gates, GateError> {
        let settings: Result<Vec<Setting>, GateError> = text.split(',').map(Setting::parse).collect();
        Gates::new(&settings?)
    }

    #[test]
    fn settings_change_defaults() {
        let check = |text: &str, feature: Feature, expected: bool| {
            assert_eq!(gates(text).unwrap().enabled(feature), expected, "{text}");
        };
        check("HPAScaleToZero=true", Feature::HPAScaleToZero, true);
        check("HPAScaleToZero=true", Feature::DRAListTypeAttributes, false);
        check("kube:HPAScaleToZero = 1", Feature::HPAScaleToZero, true);
        check(
            "HPAScaleToZero=true,HPAScaleToZero=false",
            Feature::HPAScaleToZero,
            false,
        );
        check("AllAlpha=true", Feature::HPAScaleToZero, true);
        check(
            "HPAScaleToZero=false,AllAlpha=true",
            Feature::HPAScaleToZero,
            false,
        );
        check("AllAlpha=true", Feature::AllBeta, false);
        check("AllAlpha=true", Feature::ClusterTrustBundle, false);
        check("AllBeta=true", Feature::ClusterTrustBundle, true);
        check("AllBeta=false", Feature::StrictIPCIDRValidation, false);
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                gates(text).err().map(|e| e.to_string()).as_deref(),
                Some(expected)
            );
        };
        check("DRAAdminAccess", "missing bool value for DRAAdminAccess");
        check(
            "DRAAdminAccess=x",
            "invalid value of DRAAdminAccess=x, err: strconv.ParseBool: parsing \"x\": invalid syntax",
        );
        check("Nothing=true", "unrecognized feature gate: Nothing");
        check("a:DRAAdminAccess=true", "component not registered: a");
        check(
            "DRAAdminAccess=false",
            "cannot set feature gate DRAAdminAccess to false, feature is locked to true",
        );
        check(
            "GangScheduling=true",
            "GangScheduling is enabled, but depends on features that are disabled: [GenericWorkload]",
        );
    }

    #[test]
    fn defaults_fit_together() {
        assert!(Gates::new(&[]).is_ok());
        assert!(FEATURES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(FEATURES.iter().all(|(name, feature)| feature.name() == *name));
    }
}
