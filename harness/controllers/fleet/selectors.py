"""Which Clusters a Bundle is meant for: Kubernetes label selectors, and Fleet's targets made of them.

A target names criteria that must all hold; one without any matches nothing. Cluster groups are not kept by this
controller, so a target that asks for one matches nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.controllers.fleet.names import DISPLAY_NAME_LABEL
from harness.controllers.runtime.resources import Object

Labels = Mapping[str, str]


def selector_matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a `LabelSelector` selects `labels`. The empty one selects everything.

    An expression with an operator that Kubernetes does not know selects nothing: the API server lets such a custom
    resource through, and one bad Bundle must not stop the others.
    """
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression_matches(item, labels) for item in selector.get("matchExpressions") or ())


def _expression_matches(expression: Mapping[str, Any], labels: Labels) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or ()
    match operator:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def target_matches(target: Mapping[str, Any], name: str, labels: Labels) -> bool:
    """Whether one target of a Bundle takes in the Cluster `name` with `labels`."""
    if target.get("clusterGroup") or target.get("clusterGroupSelector") is not None:
        return False
    wanted_name, selector = target.get("clusterName"), target.get("clusterSelector")
    if not wanted_name and selector is None:
        return False
    if wanted_name and wanted_name not in (name, labels.get(DISPLAY_NAME_LABEL)):
        return False
    return selector is None or selector_matches(selector, labels)


def bundle_matches(bundle: Object, name: str, labels: Labels) -> bool:
    """Whether any target of `bundle` takes in the Cluster `name` with `labels`."""
    return any(target_matches(target, name, labels) for target in bundle["spec"].get("targets") or ())
