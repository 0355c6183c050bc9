//! MutatingWebhookConfiguration

use crate::kind::Kind;
use crate::kinds::admissionregistration::validating_webhook_configuration::webhooks_kind;

/// The kind.
pub fn kind() -> Kind {
    webhooks_kind("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", true)
}
