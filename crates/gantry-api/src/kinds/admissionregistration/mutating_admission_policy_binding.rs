//! MutatingAdmissionPolicyBinding

use crate::kind::Kind;
use crate::kinds::admissionregistration::validating_admission_policy_binding::binding_kind;
use crate::version::Version;

/// The kind.
pub fn kind() -> Kind {
    Kind {
        other_versions: vec![Version::same("v1beta1"), Version::same("v1alpha1").deprecated_since(35)],
        ..binding_kind("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", true)
    }
}
