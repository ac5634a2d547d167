"""Kinds, annotations and fields of the KServe world."""

from __future__ import annotations

from harness.controllers.runtime.resources import Object, Resource, namespace_of

SECRETS = Resource("", "v1", "Secret", "secrets")
ACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts")
SERVICES = Resource("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")

SECRET_ANNOTATION = "serving.kserve.io/storageSecretName"  # noqa: S105 - the name of a field
"""KServe's: the one Secret to use, instead of those of the ServiceAccount."""
FOUND_ANNOTATION = "harness.dev/credentials"
"""Set by the webhook: how many Secrets were found when the object was admitted."""


def account_of(service: Object) -> str | None:
    """The ServiceAccount that the predictor runs as."""
    name: str | None = ((service.get("spec") or {}).get("predictor") or {}).get("serviceAccountName")
    return name


def secret_of(service: Object) -> str | None:
    """The Secret that is named without a ServiceAccount."""
    name: str | None = (service["metadata"].get("annotations") or {}).get(SECRET_ANNOTATION)
    return name


def where(service: Object) -> str:
    """Its namespace."""
    return str(namespace_of(service))
