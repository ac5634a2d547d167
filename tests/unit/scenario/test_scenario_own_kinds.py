"""Setup, templates and probes on own kinds: what a scenario makes of them, and what is wrong with them, in one line."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.core import kinds
from harness.core.errors import HarnessError
from harness.core.handles import Target
from harness.scenario import fanout, rights
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.plan import build_plan
from harness.scenario.resolve import resolve
from tests.unit.scenario.scenario_files import RUN_ID

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - {name: v1alpha1, served: true, storage: false}
    - {name: v1, served: true, storage: true, subresources: {status: {}}}
"""
TEMPLATE = """\
apiVersion: example.com/v1
kind: Widget
metadata: {labels: {a: b}}
spec: {size: {{ params.size }}, number: {{ i }}}
"""
SCENARIO = """\
name: own
summary: Own kinds.
params: {size: 3, many: 4}
setup: {apply: [crds/]}
subject: {command: [./manager]}
load:
  - create: {template: widget.yaml, count: "{many}", labels: {c: d}}
    probes:
      - {name: ready, until: {kind: Widget, condition: Ready}}
      - {name: phase, until: {kind: Widget.example.com, jsonpath: "{.status.phase}", equals: 3}}
      - {name: owned, until: {kind: ConfigMap, owner: true}}
      - {name: found, until: {kind: ConfigMap, label: {of: "x-{cause}"}, deleted: true}}
expect: [completeness.Widget == 1, latency.owned.p99 < 30s]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "widgets.yaml").write_text(CRD)
    (tmp_path / "widget.yaml").write_text(TEMPLATE)
    (tmp_path / "x.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _resolved(**sets: str) -> Scenario:
    return resolve(load("./x.yaml"), sets=sets)


def test_the_kinds_of_the_crds_are_the_scenarios(place: Path) -> None:
    made = _resolved()
    (widget,) = made.kinds
    assert (widget.api_version, widget.path("ns"), widget.status) == (
        "example.com/v1",
        "/apis/example.com/v1/namespaces/ns/widgets",
        True,
    )
    assert made.expect[0].text == "completeness.Widget.example.com == 1"
    assert list(made.setup_files) == ["crds/widgets.yaml"]
    with pytest.raises(ValueError, match="unknown kind"):
        kinds.find("Widget.example.com")


def test_a_record_is_read_without_the_files(place: Path) -> None:
    made = _resolved()
    for file in (place / "crds" / "widgets.yaml", place / "widget.yaml"):
        file.unlink()
    again = Scenario.model_validate(json.loads(made.model_dump_json()))
    assert again == made
    assert fanout.probes(again, RUN_ID) == fanout.probes(made, RUN_ID)
    assert again.templates == {"widget.yaml": TEMPLATE}


def test_the_plan_holds_the_text(place: Path) -> None:
    made = _resolved(size="5")
    files: dict[str, Any] = {"server": "https://x", "ca_file": "a", "cert_file": "b", "key_file": "c"}
    plan = build_plan(made, run_id=RUN_ID, origin_ns=0, namespace=f"run-{RUN_ID}", **files)
    assert isinstance(plan["phases"], list)
    (phase,) = plan["phases"]
    assert phase["name"] == "create-Widget.example.com"
    assert phase["names"] == "widget-k4x7q-{i:05d}"
    assert phase["params"] == {
        "labels": {"c": "d"},
        "template": {"name": "widget.yaml", "text": TEMPLATE, "params": {"size": 5, "many": 4}},
    }


def test_what_must_exist_what_is_watched_and_the_rights_for_it(place: Path) -> None:
    made = _resolved()
    (widget,) = made.kinds
    (item,) = fanout.expected(made, RUN_ID)
    assert (item.kind, item.count, item.remaining) == (widget, 4, True)
    assert item.labels == {"harness.dev/run": RUN_ID}
    assert fanout.scenario_kinds(made) == [widget, kinds.find("ConfigMap")]
    assert rights.of_load(made) == {widget: ("create",)}
    assert rights.of_watcher(made) == {widget: ("list", "watch")}


def test_objects_whose_deletion_is_awaited_need_not_stay(place: Path) -> None:
    (place / "x.yaml").write_text(SCENARIO.replace("kind: Widget, condition: Ready", "kind: Widget, deleted: true"))
    (item,) = fanout.expected(_resolved(), RUN_ID)
    assert not item.remaining


def test_each_created_object_is_the_cause_of_one_effect(place: Path) -> None:
    ready, phase, owned, found = fanout.probes(_resolved(), RUN_ID)
    assert {probe.phase for probe in (ready, phase, owned, found)} == {"create-Widget.example.com"}
    name = "widget-k4x7q-00003"
    assert (len(ready.targets), ready.targets[3], ready.condition) == (4, Target(name, name=name), "Ready")
    assert (phase.jsonpath, phase.equals) == ("{.status.phase}", "3")
    assert owned.targets[3] == Target(name, owner=("Widget.example.com", name))
    assert (found.targets[3], found.deleted) == (Target(name, {"of": f"x-{name}"}), True)


def test_a_template_may_make_a_kind_of_the_harness(place: Path) -> None:
    (place / "widget.yaml").write_text("apiVersion: v1\nkind: ServiceAccount\n")
    (place / "x.yaml").write_text(
        "name: a\nsummary: b\nsubject: {command: [x]}\nload: [create: {template: widget.yaml, count: 1}]\n"
    )
    made = _resolved()
    account = kinds.find("ServiceAccount")
    assert rights.of_load(made) == {account: ("create",)}
    assert rights.of_watcher(made) == {}


def mistakes() -> list[object]:
    """The blocks of own_mistakes.txt: file, old text, new text, message; no message where it is none."""
    blocks = (Path(__file__).parent / "own_mistakes.txt").read_text().strip("\n").split("\n\n")
    rows = [[line[2:].replace(r"\n", "\n") for line in block.split("\n")] for block in blocks]
    return [pytest.param(*row, id=f"{row[0]}: {row[2][:20].strip()}") for row in rows]


@pytest.mark.parametrize(("file", "old", "new", "message"), mistakes())
def test_a_mistake_is_one_line(place: Path, file: str, old: str, new: str, message: str) -> None:
    text = (place / file).read_text()
    assert old in text
    (place / file).write_text(text.replace(old, new, 1))
    with nullcontext() if not message else pytest.raises(HarnessError) as caught:
        load("./x.yaml")
    assert (str(caught.value) if caught else "") == message


def test_an_own_kind_needs_a_template(place: Path) -> None:
    text = SCENARIO.replace("template: widget.yaml", "kind: Widget").replace("size: 3, ", "")
    (place / "x.yaml").write_text(text)
    with pytest.raises(
        HarnessError, match=r"x\.yaml:7:20: Widget\.example\.com is created from a template; write templ"
    ):
        load("./x.yaml")


def test_a_kind_with_consequences_has_no_template(place: Path) -> None:
    (place / "widget.yaml").write_text(
        "apiVersion: fleet.cattle.io/v1alpha1\nkind: GitRepo\nspec: {a: {{ params.size }}}\n"
    )
    with pytest.raises(HarnessError, match=r"x\.yaml:7:24: GitRepo is created without a template; write kind: GitRepo"):
        load("./x.yaml")


def test_a_flip_may_have_effects_on_own_kinds(place: Path) -> None:
    cluster = "kind: Cluster.management.cattle.io"
    load_ = f"""\
load:
  - create: {{{cluster}, count: 3}}
  - flip: {{{cluster}, labels: {{a: b}}, count: 2}}
    probes:
      - {{name: named, until: Widget}}
      - {{name: labelled, until: {{kind: Secret, label: {{of: "{{cause}}"}}}}}}
      - {{name: copied, until: Cluster.fleet.cattle.io}}
"""
    (place / "x.yaml").write_text(
        f"name: a\nsummary: b\nsetup: {{apply: [crds]}}\nsubject: {{controller: fleet}}\n{load_}"
    )
    named, labelled, copied = fanout.probes(_resolved(), RUN_ID)
    name = "cluster-k4x7q-00001"
    assert (len(named.targets), named.targets[1]) == (2, Target(name, name=name))
    assert labelled.targets[1] == Target(name, {"of": name})
    assert copied.targets[1] == Target(name, {"a": "b"}, name=name), "as Fleet's rules have it"


MORE = """\
  - parallel:
      - patch: {kind: Widget, spec: {size: 5}}
      - create: {template: widget.yaml, count: 2}
      - list: {kind: Widget}
      - watch: {kind: Widget, watchers: 1}
  - read: {kind: Widget, count: 5}
  - delete: {kind: Widget, count: 2}
  - churn: {kind: Widget, percentage: 50%}
expect:"""


def _more(place: Path, *, deleted: bool = False) -> None:
    text = SCENARIO.replace("expect:", MORE)
    if deleted:
        text = text.replace("{kind: Widget, condition: Ready}", "{kind: Widget, deleted: true}")
    (place / "x.yaml").write_text(text)


def test_steps_that_work_on_what_is_there_work_on_own_kinds(place: Path) -> None:
    _more(place)
    made = _resolved()
    (widget,) = made.kinds
    assert set(rights.of_load(made)[widget]) == {"create", "patch", "list", "watch", "get", "delete"}
    (expected,) = [item for item in fanout.expected(made, RUN_ID) if item.kind == widget]
    assert (expected.count, expected.final, expected.remaining) == (4, True, True)
    again = Scenario.model_validate(made.model_dump(mode="json"))
    assert rights.of_load(again) == rights.of_load(made)


def test_a_read_alone_gives_no_right_to_change(place: Path) -> None:
    (place / "x.yaml").write_text(SCENARIO.replace("expect:", "  - read: {kind: Widget, count: 1}\nexpect:"))
    made = _resolved()
    assert rights.of_load(made) == {made.kinds[0]: ("create", "get")}


def test_a_template_among_parallel_steps_is_checked_where_it_stands(place: Path) -> None:
    _more(place)
    path = place / "x.yaml"
    path.write_text(path.read_text().replace("{template: widget.yaml, count: 2}", "{template: gone.yaml, count: 2}"))
    with pytest.raises(HarnessError, match=r"x\.yaml:\d+.*gone\.yaml: there is no such file"):
        _resolved()


def test_objects_whose_deletion_is_awaited_cannot_be_taken(place: Path) -> None:
    _more(place, deleted=True)
    with pytest.raises(HarnessError, match=r"a probe waits until Widget\.example\.com is deleted"):
        _resolved()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{template: widget.yaml, count: 2, namespaces: 2}", "namespaces says nothing where a template does"),
        (
            "{template: widget.yaml, count: 9, rate: {step_until_failure: [1/s, 2/s], by: 1/s, each: 1s}}",
            "create Secrets with it",
        ),
    ],
)
def test_what_a_template_cannot_have(place: Path, step: str, message: str) -> None:
    (place / "x.yaml").write_text(SCENARIO.replace("expect:", f"  - create: {step}\nexpect:"))
    with pytest.raises(HarnessError, match=message):
        _resolved()


@pytest.mark.parametrize("step", ["restart: {}", "hook: {command: ['true']}"])
def test_nothing_runs_beside_a_restart_or_a_hook(place: Path, step: str) -> None:
    parallel = f"  - parallel:\n      - {step}\n      - list: {{kind: Widget}}\nexpect:"
    (place / "x.yaml").write_text(SCENARIO.replace("expect:", parallel))
    with pytest.raises(HarnessError, match="nothing can run beside it"):
        _resolved()
