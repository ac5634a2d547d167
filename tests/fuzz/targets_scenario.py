"""Scenario files as text and as structures, templates of objects, manifests beside a scenario, plans of the load."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from harness.core import paths
from harness.core.clock import RunClock
from harness.kube.manifests import load_manifests
from harness.scenario import manifests, templates
from harness.scenario.document import parse_document
from harness.scenario.load import load
from loadgen import plan
from loadgen.fields import PlanError
from loadgen.templates import ObjectTemplate, TemplateFault, encode
from tests.fuzz.folder import folder
from tests.fuzz.inputs import HOSTILE, altered, as_json, mutated, texts
from tests.fuzz.property import Target

_WORDS = (
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "&a ",
    "*a",
    "<<: ",
    "!!python/name:os.system ",
    "!!binary ",
    "|\n",
    "\t",
    "---\n",
    "{secrets}",
    "0x1f",
    *HOSTILE,
)
_SMALL = """name: mine
summary: Mine.
params: {n: 3, size: [2KB, 5KB], word: "{n}"}
profiles: {quick: {n: 1}}
arms: {a: {set: {n: 2}, expect: [oom.kills == 0]}, b: {}}
apiserver: {max_mutating_inflight: 5}
subject: {controller: fleet, memory_limit: 256Mi, options: {workers: "{n}"}, env: {A: "{n}"}}
engaged: [{metric: startup.first_object, min: 0s}]
load:
  - create: {kind: Secret, count: "{n}", size: "{size}", rate: 5/s}
  - create: {template: widget.yaml, count: 2}
  - parallel:
      - read: {kind: Secret, count: 2, rate: {ramp: [1/s, 2/s], over: 2s}}
      - churn: {kind: Secret, share: 50%, cycles: 2}
  - flip: {kind: Cluster.management.cattle.io, count: 1, labels: {env: prod}}
    probes: [{name: flip, until: BundleDeployment, label: {a: "{cause}"}}]
  - settle: {quiet_for: 3s, timeout: 10m}
collect: [memory, oom]
expect: [oom.kills == 0, memory.rss.peak < 400Mi]
gate: {primary: [memory.rss.peak=5%]}
profile: {triggers: [memory.rss > 80% of limit], at_most: 2}
"""
_TEMPLATE = """apiVersion: v1
kind: Secret
metadata: {labels: {a: "x{{ i }}"}, annotations: {b: "{{ run_id }}"}}
data: {k: "{{ rand_bytes(16) | b64 }}", n: "{{ params.n }}"}
{% for a in range(3) %}
# {{ a }} {{ tail }} {{ namespace }}
{% endfor %}
{% if i > 1 %}stringData: {z: "{{ 'x' * 10 }}"}{% endif %}
"""
_ESCAPES = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self._TemplateReference__context }}",
    "{{ 9**9**9 }}",
    "{{ 'a' * 10**10 }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ range(10**12) | list }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{{ params.__class__ }}",
    "{{ b64.__globals__ }}",
    "{{ '%10000000000d' | format(1) }}",
    "{{ 'x'.center(10**10) }}",
    "{% set x = x %}",
    "{{ rand_bytes(10**9) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ '{0.__class__}'.format(b64) }}",
    "{{ (1).__class__.__base__.__subclasses__()[0] }}",
    "{{ lipsum.__globals__ }}",
    "{% raw %}",
    "{{ i | attr('__class__') }}",
    "{{ [1]*10**9 }}",
)
_CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}}]
---
kind: List
apiVersion: v1
items: [{apiVersion: v1, kind: Namespace, metadata: {name: a}}]
"""


@functools.cache
def _shipped() -> tuple[str, ...]:
    return (*(path.read_text() for path in sorted(paths.scenarios_dir().glob("*.yaml"))), _SMALL)


@functools.cache
def _beside() -> Path:
    place = folder()
    (place / "widget.yaml").write_text(_TEMPLATE)
    return place


def _scenario_text(text: str) -> None:
    parse_document(text, "mine.yaml")


def _scenario(content: bytes) -> None:
    path = _beside() / "mine.yaml"
    path.write_bytes(content)
    load(path)


def _structure(document: Any) -> None:  # JSON
    _scenario(yaml.safe_dump(document, allow_unicode=True).encode(errors="replace"))


def _template(text: str) -> None:
    template = ObjectTemplate("t.yaml", text)
    variables = {"run_id": "r", "tail": "abcde", "namespace": "run-r", "params": {"n": 3}}
    for index in (0, 2):
        encode(template.render(index, variables, random.Random(index)), "t.yaml")


def _template_in_scenario(text: str) -> None:
    templates.check("t.yaml", text, {"n": 3}, 7, 0)


def _manifests(content: bytes) -> None:
    path = folder() / "crd.yaml"
    path.write_bytes(content)
    manifests.read(path.parent, path.name, "", manifests.Manifests())
    load_manifests([path])


def _plan(content: bytes) -> None:
    path = folder() / "plan.json"
    path.write_bytes(content)
    plan.load(path)


_PHASE = {
    "name": "create-Secret",
    "action": "create",
    "kind": "Secret",
    "api_version": "v1",
    "object_kind": "Secret",
    "path": "/api/v1/namespaces/run-x/secrets",
    "namespaced": True,
    "count": 20,
    "rate": 200.0,
    "concurrency": 4,
    "timeout_s": 60,
    "names": "secret-{i:05d}",
    "params": {"size": [2048, 5120]},
}
_PLAN = {
    "schema": plan.SCHEMA,
    "run_id": "20261122-093015-k4x7q",
    "seed": 7,
    "origin_ns": RunClock().origin_ns,
    "server": "https://127.0.0.1:1",
    "ca_file": "ca",
    "cert_file": "c",
    "key_file": "k",
    "token_file": None,
    "namespace": "run-x",
    "labels": {"harness.dev/run": "x"},
    "phases": [
        _PHASE,
        _PHASE | {"name": "b", "rate": {"ramp": [1, 5], "over_s": 3}},
        _PHASE | {"name": "c", "rate": {"burst": 5, "every_s": 1}},
        _PHASE | {"name": "d", "rate": {"until_failure": 1, "by": 1, "to": 5, "each_s": 1}},
        _PHASE | {"name": "e", "rate": {"poisson": 5}},
    ],
}
_STRUCTURES = tuple(yaml.safe_load(text) for text in _shipped())

TARGETS = (
    Target(
        "scenario-text", texts(_shipped(), _WORDS), _scenario_text, (), 2, tuple(t.encode() for t in _shipped()), True
    ),
    Target(
        "scenario-files",
        mutated([t.encode() for t in _shipped()], [w.encode() for w in _WORDS]),
        _scenario,
        (),
        0.6,
        (_SMALL.encode(),),
    ),
    Target("scenario-structures", altered(_STRUCTURES), _structure, (), 0.6),
    Target(
        "templates",
        texts(
            (_TEMPLATE, *(_TEMPLATE + each for each in _ESCAPES)),
            ("{{", "}}", "{%", "%}", " | ", "__class__", "!!python/name:os", *_ESCAPES),
        ),
        _template,
        (TemplateFault,),
        1,
        (_TEMPLATE.encode(),),
        True,
    ),
    Target(
        "templates-checked",
        texts((_TEMPLATE, *(_TEMPLATE + each for each in _ESCAPES)), _ESCAPES),
        _template_in_scenario,
        (),
        0.3,
    ),
    Target(
        "manifests",
        mutated((_CRD.encode(),), [w.encode() for w in _WORDS]),
        _manifests,
        (manifests.Unusable,),
        0.6,
        (_CRD.encode(),),
    ),
    Target(
        "plans",
        st.one_of(altered((_PLAN,)).map(as_json), mutated((as_json(_PLAN),))),
        _plan,
        (PlanError,),
        1,
        (json.dumps(_PLAN).encode(),),
    ),
)
