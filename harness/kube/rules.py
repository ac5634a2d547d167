"""What an identity may do, asked of the API server: which kinds it could have made anything of.

An identity can only hand on rights that it holds itself, so what it can neither list nor make, nobody of its run has made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.errors import HarnessError
from harness.core.kinds import Kind
from harness.kube.api import Api

_RULES_REVIEW = Kind(
    "authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", namespaced=False
)
_CONCERNED = {"list", "create", "update", "patch", "*"}
_ANYWHERE = "default"
"""A namespace has to be named; rights by ClusterRoleBindings are told with those of any."""


class Concern:
    """Which kinds to look at when looking for what a run has made."""

    def __init__(self, rules: Sequence[Mapping[str, Any]] | None) -> None:
        """`rules`: a SelfSubjectRulesReview's `resourceRules`; None: not known, and any kind may hold something."""
        self._rules = rules

    def __call__(self, kind: Kind) -> bool:
        """Whether the identity may list or make objects of a kind."""
        return self._rules is None or any(_covers(rule, kind) for rule in self._rules)


async def concern(api: Api) -> Concern:
    """What concerns the identity of `api`. Where an authorizer cannot enumerate its rules, everything does; nor are they
    told where there are none: this very question would not have been allowed.
    """
    body = {"apiVersion": _RULES_REVIEW.api_version, "kind": _RULES_REVIEW.kind, "spec": {"namespace": _ANYWHERE}}
    try:
        status = (await api.create(_RULES_REVIEW, body)).get("status") or {}
    except HarnessError:
        return Concern(None)
    return Concern(None if status.get("incomplete") else status.get("resourceRules") or None)


def _covers(rule: Mapping[str, Any], kind: Kind) -> bool:
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    return (
        not rule.get("resourceNames")
        and bool(_CONCERNED & set(rule.get("verbs") or ()))
        and bool({kind.group, "*"} & set(groups))
        and bool({kind.plural, "*"} & set(resources))
    )
