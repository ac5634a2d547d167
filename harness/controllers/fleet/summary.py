"""How ready things are: of one BundleDeployment, and summed over many, in the form of Fleet's status."""

from __future__ import annotations

from collections.abc import Iterable

from harness.controllers.fleet.context import now
from harness.controllers.runtime.resources import Object
from harness.controllers.runtime.status import condition, is_true


def is_ready(deployment: Object) -> bool:
    """Whether the deployment that is wanted has been applied and is ready."""
    applied = (deployment.get("status") or {}).get("appliedDeploymentID")
    return applied == deployment["spec"].get("deploymentID") and is_true(deployment, "Ready")


def of_deployments(deployments: Iterable[Object]) -> Object:
    """The summary over BundleDeployments."""
    states = [is_ready(deployment) for deployment in deployments]
    return _summary(desired=len(states), ready=sum(states))


def of_summaries(summaries: Iterable[Object | None]) -> Object:
    """The sum of summaries; None counts as nothing."""
    known = [summary for summary in summaries if summary]
    return _summary(
        desired=sum(summary.get("desiredReady", 0) for summary in known),
        ready=sum(summary.get("ready", 0) for summary in known),
    )


def status_fields(status: Object, summary: Object, display: str) -> Object:
    """The fields of a status that follow from `summary`: it, a text for people under `display`, the Ready condition."""
    desired, ready = summary["desiredReady"], summary["ready"]
    message = "" if ready == desired else f"WaitApplied({desired - ready})"
    return {
        "summary": summary,
        "display": {display: f"{ready}/{desired}"},
        "conditions": condition(status, "Ready", met=ready == desired, message=message, now=now()),
    }


def _summary(desired: int, ready: int) -> Object:
    summary: Object = {"desiredReady": desired, "ready": ready}
    if desired != ready:
        summary["waitApplied"] = desired - ready
    return summary
