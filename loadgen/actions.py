"""Actions: what one request of a phase is, from its index alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode

from loadgen.builders import builder_of
from loadgen.fields import Fields, PlanError
from loadgen.plan import Phase, Plan
from loadgen.population import Population, sample

JSON_TYPE = "application/json"
MERGE_PATCH = "application/merge-patch+json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent. `verb` is Kubernetes' word for it, as in audit lines."""

    verb: str
    method: str
    path: str
    name: str
    content_type: str = JSON_TYPE
    body: bytes = b""
    accept: str = JSON_TYPE
    follow: Callable[[bytes], Request | None] | None = None
    """From the body of a good answer to the request that goes on with it: the next page of a list, what registers
    a Fleet Cluster; None at the end."""


Action = Callable[[int], Request]
"""Index in [0, count) -> the request. Raises TemplateFault where a user's template gives none."""


def action_of(plan: Plan, phase: Phase) -> Action:
    """The action of a phase. Raises PlanError for an unknown action and for wrong params."""
    make = ACTIONS.get(phase.action)
    if make is None:
        raise PlanError(f"{phase.place}.action: unknown {phase.action!r}; known are {', '.join(sorted(ACTIONS))}")
    return make(plan, phase)


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _create(plan: Plan, phase: Phase) -> Action:
    build = builder_of(plan, phase)
    register = _registration(phase)

    def request(index: int) -> Request:
        name, path = phase.object_name(index), phase.collection(index)
        follow = None if register is None else partial(register, index)
        return Request("create", "POST", path, name, body=build(index), follow=follow)

    return request


def _registration(phase: Phase) -> Callable[[int, bytes], Request] | None:
    """Of Fleet Clusters: what follows the creation of one, the namespace for what is deployed to it in its status."""
    namespaces = Fields(phase.params, f"{phase.place}.params").optional("registered")
    if namespaces is None:
        return None
    if not isinstance(namespaces, str) or "{i:05d}" not in namespaces:
        raise PlanError(f"{phase.place}.params.registered: must be a name with {{i:05d}} in it")

    def request(index: int, _answer: bytes) -> Request:
        name = phase.object_name(index)
        body = _encode({"status": {"namespace": namespaces.replace("{i:05d}", f"{index:05d}")}})
        return Request("patch", "PATCH", f"{phase.path}/{name}/status", name, MERGE_PATCH, body)

    return request


def _flip(_plan: Plan, phase: Phase) -> Action:
    """Merge labels into objects 0 to count-1, each once."""
    params = Fields(phase.params, f"{phase.place}.params")
    body = _encode({"metadata": {"labels": dict(params.labels("labels"))}})
    params.done()

    def request(index: int) -> Request:
        name = phase.object_name(index)
        return Request("patch", "PATCH", f"{phase.path}/{name}", name, MERGE_PATCH, body)

    return request


def _patch(plan: Plan, phase: Phase) -> Action:
    """Merge `body` into each object once."""
    params = Fields(phase.params, f"{phase.place}.params")
    objects = _objects(plan, phase, params)
    wanted = params.raw("body")
    if not isinstance(wanted, dict) or not wanted:
        raise params.error("body", "must be an object that is not empty")
    body = _encode(wanted)
    params.done()

    def request(index: int) -> Request:
        member = objects.at(index)
        return Request("patch", "PATCH", member.path, member.name, MERGE_PATCH, body)

    return request


def _delete(plan: Plan, phase: Phase) -> Action:
    """Delete each object once."""
    params = Fields(phase.params, f"{phase.place}.params")
    objects = _objects(plan, phase, params)
    params.done()

    def request(index: int) -> Request:
        member = objects.at(index)
        return Request("delete", "DELETE", member.path, member.name)

    return request


def _read(plan: Plan, phase: Phase) -> Action:
    """Get objects by name; each request draws its own."""
    params = Fields(phase.params, f"{phase.place}.params")
    objects = Population(plan, params)
    if phase.count and not len(objects):
        raise params.error("objects", "must not be empty")
    params.done()

    def request(index: int) -> Request:
        source = random.Random(f"{plan.seed}/{phase.name}/{index}")  # noqa: S311  # repeatable on purpose
        member = objects.at(int(source.random() * len(objects)))
        return Request("get", "GET", member.path, member.name)

    return request


def _list(_plan: Plan, phase: Phase) -> Action:
    """List the collection, whole or page by page; a request is done when its last page has come."""
    params = Fields(phase.params, f"{phase.place}.params")
    query = _selector(params)
    if params.optional("page_size") is not None:
        query["limit"] = str(params.integer("page_size", minimum=1))
    first = Request("list", "GET", _with_query(phase.path, query), "", accept=_accept(params, METADATA_LIST))
    params.done()

    def next_page(body: bytes) -> Request | None:
        token = json.loads(body)["metadata"].get("continue")
        return page(token) if token else None

    def page(token: str) -> Request:
        return replace(first, path=_with_query(phase.path, {**query, "continue": token}), follow=next_page)

    # An answer without pages is not decoded: that would cost more than all else.
    start = replace(first, follow=next_page) if "limit" in query else first
    return lambda index: replace(start, name=f"list-{index:05d}")


def _watch(_plan: Plan, phase: Phase) -> Action:
    """Open a watch that stays open; it begins with all objects there are."""
    params = Fields(phase.params, f"{phase.place}.params")
    query = {**_selector(params), "watch": "true"}
    request = Request("watch", "GET", _with_query(phase.path, query), "", accept=_accept(params, METADATA))
    params.done()
    return lambda index: replace(request, name=f"watcher-{index:05d}")


def _churn(plan: Plan, phase: Phase) -> Action:
    """In each cycle delete `share` objects, drawn anew, and then create the same ones as they were first created."""
    params = Fields(phase.params, f"{phase.place}.params")
    objects = Population(plan, params)
    share, cycles = params.integer("share", minimum=1), params.integer("cycles", minimum=1)
    params.positive_or_zero("delay_s")
    params.done()
    if share > len(objects) or phase.count != 2 * share * cycles:
        raise params.error("share", f"must be at most {len(objects)}, and count 2 x share x cycles")
    chosen = [sample(f"{plan.seed}/{phase.name}/{cycle}", len(objects), share) for cycle in range(cycles)]
    creators: dict[str, Action] = {}
    for position in {position for cycle in chosen for position in cycle}:
        source = objects.at(position).phase
        if source.name not in creators:
            creators[source.name] = _create(plan, source)

    def request(index: int) -> Request:
        member = objects.at(chosen[index // (2 * share)][index % share])
        if index // share % 2:
            return creators[member.phase.name](member.index)
        return Request("delete", "DELETE", member.path, member.name)

    return request


def _objects(plan: Plan, phase: Phase, params: Fields) -> Population:
    objects = Population(plan, params)
    if len(objects) != phase.count:
        raise params.error("objects", f"must be as many as count, {phase.count}, are {len(objects)}")
    return objects


def _selector(params: Fields) -> dict[str, str]:
    labels = params.labels("selector", required=False)
    return {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())} if labels else {}


def _accept(params: Fields, metadata: str) -> str:
    return metadata if params.optional("metadata_only") is not None and params.flag("metadata_only") else JSON_TYPE


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


ACTIONS: Mapping[str, Callable[[Plan, Phase], Action]] = {
    "churn": _churn,
    "create": _create,
    "delete": _delete,
    "flip": _flip,
    "list": _list,
    "patch": _patch,
    "read": _read,
    "watch": _watch,
}
