//! The rules of how a definition's objects are converted between versions.

use crate::field::{Error, Path};
use crate::formats;
use crate::kinds::admissionregistration::validating_webhook_configuration as webhooks;
use crate::kinds::checks::{Errors, one_of};
use crate::kinds::values::{given, list, repeats, text};
use serde_json::Value;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Checks a conversion.
pub fn validate(errors: &mut Errors, path: &Path, conversion: &Value) {
    if !given(conversion) {
        return;
    }
    one_of(errors, &path.child("strategy"), &conversion["strategy"], &["None", "Webhook"]);
    let webhook = &conversion["webhook"];
    let (config, reviews) = (&webhook["clientConfig"], &webhook["conversionReviewVersions"]);
    let config_path = path.child("webhookClientConfig");
    let reviews_path = path.child("conversionReviewVersions");
    if conversion["strategy"] != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if given(config) {
            errors.push(Error::forbidden(config_path, detail));
        }
        if !list(reviews).is_empty() {
            errors.push(Error::forbidden(reviews_path, detail));
        }
        return;
    }
    if !given(config) {
        errors.push(Error::required(config_path, "required when strategy is set to Webhook"));
    } else if given(&config["url"]) == given(&config["service"]) {
        errors.push(Error::required(config_path, "exactly one of url or service is required"));
    } else if given(&config["url"]) {
        webhooks::url(errors, &config_path.child("url"), text(&config["url"]));
    } else {
        webhooks::service(errors, &config_path.child("service"), &config["service"]);
    }
    review_versions(errors, &reviews_path, reviews);
}

fn review_versions(errors: &mut Errors, path: &Path, reviews: &Value) {
    let versions = list(reviews);
    if versions.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let repeated = repeats(versions, |version| version);
    for (i, version) in versions.iter().enumerate() {
        if repeated[i] {
            errors.push(Error::invalid(path.index(i), version.clone(), "duplicate version"));
            continue;
        }
        crate::kinds::format(errors, &path.index(i), text(version), formats::dns1035_label);
    }
    if !versions.iter().any(|v| REVIEW_VERSIONS.contains(&text(v))) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, reviews.clone(), detail));
    }
}
