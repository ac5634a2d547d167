"""Objects of the load, by kind (docs/architecture.md, "Objects of the load").

What an object contains depends only on the plan's seed, its phase and its index, so that two runs of one plan send the
same bytes, whichever worker sends them and in whatever order.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from loadgen.fields import Fields, PlanError
from loadgen.plan import Phase, Plan
from loadgen.sizes import size_of
from loadgen.templates import ObjectTemplate, TemplateFault, complete, encode, wrong_namespace

JSONObject = dict[str, Any]

Filling = Callable[[int, str], JSONObject]
"""Index and name of an object -> its fields beside apiVersion, kind and metadata."""

CONTENT_HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  payload: "
"""What a Bundle deploys must be a manifest: a real Fleet parses it."""


Builder = Callable[[int], bytes]
"""Index of an object -> the object as JSON."""


def builder_of(plan: Plan, phase: Phase) -> Builder:
    """What makes the objects of a create phase: its template where it has one, else what is known of its kind."""
    if "template" in phase.params:
        templated = TemplateBuilder(plan, phase)
        return lambda index: encode(templated.build(index), templated.name)
    known = ObjectBuilder(plan, phase)
    return lambda index: json.dumps(known.build(index), separators=(",", ":")).encode("ascii")


class TemplateBuilder:
    """Makes objects of any kind from a template. `build` raises TemplateFault where a later index gives no such object."""

    def __init__(self, plan: Plan, phase: Phase) -> None:
        params = Fields(phase.params, f"{phase.place}.params")
        given = Fields(params.raw("template"), f"{phase.place}.params.template")
        own_labels = params.labels("labels", required=False)
        variables = given.optional("params", {})
        name, text = given.text("name"), given.text("text")
        given.done()
        params.done()
        try:
            self._template = ObjectTemplate(name, text)
        except TemplateFault as fault:
            raise PlanError(f"{phase.place}.params.template: {fault}") from None
        self.name = name
        self._plan = plan
        self._phase = phase
        self._namespace = plan.namespace if phase.namespaced else None
        self._labels = {**own_labels, **plan.labels}
        self._variables = template_variables(plan.run_id, plan.namespace, variables)

    def build(self, index: int) -> JSONObject:
        """The object of request `index`."""
        phase = self._phase
        item = self._template.render(index, self._variables, random_of(self._plan, phase, index))
        what, wanted = f"{item['kind']} of {item['apiVersion']}", f"{phase.object_kind} of {phase.api_version}"
        if wrong := wrong_namespace(item, namespace=self._namespace):
            raise TemplateFault(f"{self._template.name}:1", f"{wrong} (i={index})")
        if what != wanted:
            raise TemplateFault(
                f"{self._template.name}:1", f"renders to {what} with i={index}, and to {wanted} with i=0"
            )
        return complete(item, name=phase.object_name(index), namespace=self._namespace, labels=self._labels)


def template_variables(run_id: str, namespace: str, params: object) -> dict[str, object]:
    """What a template sees of its run, beside `i` and the functions."""
    return {"run_id": run_id, "tail": run_id[-5:], "namespace": namespace, "params": params}


class ObjectBuilder:
    """Makes the objects of one create phase. Raises PlanError at once for wrong params, never while building."""

    def __init__(self, plan: Plan, phase: Phase) -> None:
        known = FILLINGS.get(phase.kind)
        if known is None:
            raise PlanError(
                f"{phase.place}.kind: cannot create {phase.kind!r}; known are {', '.join(sorted(FILLINGS))}"
            )
        params = Fields(phase.params, f"{phase.place}.params")
        own_labels = params.labels("labels", required=False)
        self._filling = known(plan, phase, params)
        params.done()
        self._phase = phase
        self._metadata: JSONObject = {"labels": {**own_labels, **plan.labels}}
        # Where objects are spread over namespaces, the path that each is sent to says which.
        if phase.namespaced and not phase.paths:
            self._metadata["namespace"] = plan.namespace

    def build(self, index: int) -> JSONObject:
        """The object of request `index`, ready to be encoded as JSON."""
        name = self._phase.object_name(index)
        return {
            "apiVersion": self._phase.api_version,
            "kind": self._phase.object_kind,
            "metadata": {"name": name, **self._metadata},
            **self._filling(index, name),
        }


def random_of(plan: Plan, phase: Phase, index: int) -> random.Random:
    """The source of all that is random in one object."""
    return seeded(plan.seed, phase.name, index)


def seeded(seed: int, phase: str, index: int) -> random.Random:
    """The same for a phase that is not part of a plan yet."""
    return random.Random(f"{seed}/{phase}/{index}")  # noqa: S311  # repeatable on purpose; keeps no secret


def _secret(plan: Plan, phase: Phase, params: Fields) -> Filling:
    size = size_of(params, "size")

    def fill(index: int, _name: str) -> JSONObject:
        source = random_of(plan, phase, index)
        payload = source.randbytes(size(source))
        return {"type": "Opaque", "data": {"payload": base64.b64encode(payload).decode("ascii")}}

    return fill


def _targets(phase: Phase, params: Fields) -> Callable[[int], list[JSONObject]]:
    """`targets` of GitRepos and Bundles: the ones in `matching` select `selector`, all others `other`."""
    matching = params.indexes("matching", phase.count)
    selector = dict(params.labels("selector"))
    other = dict(params.labels("other"))

    def targets(index: int) -> list[JSONObject]:
        labels = selector if index in matching else other
        return [{"name": "default", "clusterSelector": {"matchLabels": labels}}]

    return targets


def _used(phase: Phase, params: Fields) -> tuple[Callable[[int], str | None], Callable[[int], list[str]]]:
    """Names of earlier objects that object i refers to: the one it has, and all that are only its own."""
    given = params.optional("uses")
    if given is None:
        return lambda _: None, lambda _: []
    fields = Fields(given, f"{params.place}.uses")
    names, count = fields.text("names"), fields.integer("count", minimum=1)
    fields.done()
    return (
        lambda index: names.format(i=index % count),
        lambda index: [names.format(i=number) for number in range(index, count, phase.count)],
    )


def _git_repo(_plan: Plan, phase: Phase, params: Fields) -> Filling:
    paths = [f"b{number:05d}" for number in range(params.integer("bundles", minimum=1))]
    targets = _targets(phase, params)
    one, _ = _used(phase, params)

    def fill(index: int, name: str) -> JSONObject:
        # .invalid never resolves (RFC 2606): a real Fleet that tries to clone fails at once and reaches nobody.
        repo = f"https://git.invalid/{name}.git"
        secret = one(index)
        auth = {} if secret is None else {"clientSecretName": secret}
        return {"spec": {"repo": repo, "branch": "main", "paths": paths, "targets": targets(index), **auth}}

    return fill


def _manifest(name: str, size: int, source: random.Random) -> str:
    """YAML of exactly `size` bytes that a real Fleet can parse: a ConfigMap, or a comment where that is too small."""
    head = CONTENT_HEAD.format(name=name)
    missing = size - len(head) - 1
    if missing < 1:
        return "#" * size
    return head + base64.b64encode(source.randbytes(missing)).decode("ascii")[:missing] + "\n"


def _bundle(plan: Plan, phase: Phase, params: Fields) -> Filling:
    size = size_of(params, "size")
    targets = _targets(phase, params)

    def fill(index: int, name: str) -> JSONObject:
        source = random_of(plan, phase, index)
        content = _manifest(name, size(source), source)
        return {"spec": {"resources": [{"name": "payload.yaml", "content": content}], "targets": targets(index)}}

    return fill


def _management_cluster(plan: Plan, _phase: Phase, _params: Fields) -> Filling:
    def fill(_index: int, name: str) -> JSONObject:
        return {"spec": {"fleetWorkspaceName": plan.namespace, "displayName": name}}

    return fill


def _fleet_cluster(_plan: Plan, _phase: Phase, params: Fields) -> Filling:
    # In which namespace each is registered is written into its status, which is a request of its own: `actions`.
    params.optional("registered")

    def fill(_index: int, name: str) -> JSONObject:
        return {"spec": {"clientID": name}}

    return fill


def _service_account(_plan: Plan, phase: Phase, params: Fields) -> Filling:
    _, own = _used(phase, params)

    def fill(index: int, _name: str) -> JSONObject:
        secrets = own(index)
        return {"secrets": [{"name": secret} for secret in secrets]} if secrets else {}

    return fill


def _inference_service(_plan: Plan, phase: Phase, params: Fields) -> Filling:
    one, _ = _used(phase, params)

    def fill(index: int, name: str) -> JSONObject:
        model = {"modelFormat": {"name": "sklearn"}, "storageUri": f"s3://models.invalid/{name}"}
        account = one(index)
        who = {} if account is None else {"serviceAccountName": account}
        return {"spec": {"predictor": {"model": model, **who}}}

    return fill


FILLINGS: Mapping[str, Callable[[Plan, Phase, Fields], Filling]] = {
    "Secret": _secret,
    "GitRepo": _git_repo,
    "Bundle": _bundle,
    "Cluster.management.cattle.io": _management_cluster,
    "Cluster.fleet.cattle.io": _fleet_cluster,
    "ServiceAccount": _service_account,
    "InferenceService": _inference_service,
}
"""By the kind's alias; the one place to add a kind."""
