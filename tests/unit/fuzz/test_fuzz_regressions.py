"""The smallest inputs of what `make fuzz` has found, and what was mended with it. Each raised, hung, or showed too much."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from harness.analysis.facts import Facts
from harness.analysis.verdict import judge
from harness.collectors import pprof
from harness.collectors.tail import LONGEST_LINE, Tail
from harness.core.errors import LONGEST, HarnessError, UsageError
from harness.kube.document import read_mapping
from harness.record.reader import RunRecord
from harness.report import openmetrics
from harness.scenario.document import parse_document
from loadgen.templates import ObjectTemplate, TemplateFault
from tests import records
from tests.fuzz.all_targets import TARGETS
from tests.fuzz.property import check

_DEEP = b"[" * 100_000
_REPORT = b'{"type": "report", "t_ns": 5, "cpu_ns": null, "tasks": 3, "names": {"f": 3}, "lags": []}'
_AUDIT = b'{"user": {"username": "harness:subject:x"}, "verb": "patch", "stage": "ResponseComplete", "objectRef": '


@pytest.mark.parametrize(
    ("target", "value", "ending"),
    [
        ("scenario-text", "\ufffd\x00", "ScenarioError"),
        ("specs", "options:w=\ufffd5\x000", "UsageError"),
        ("agent-reports", [_REPORT], "result"),
        ("agent-reports", [b"3", b"[]", _DEEP], "result"),
        ("audit-lines", [_AUDIT + b'"x"}'], "result"),
        ("audit-lines", [_AUDIT + b'{"resource": 3, "apiGroup": ["x"]}}'], "result"),
        ("audit-lines", [b'{"responseObject": ' + _DEEP], "result"),
        ("uploads", b'{"series": {"labels": []}}', "AttributeError"),
        ("kubelet-stats", None, "ValueError"),
        ("kubelet-stats", {"pods": [{"podRef": "x"}]}, "ValueError"),
        ("kept-stacks", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xff\xff", "ValueError"),
        ("folded-stacks", b"a;b \xc2\xb23\nc 1\n", "result"),
        ("manifests", b"a: 2026-99-99\n", "ScenarioError"),
        ("manifests", b"a: !!timestamp x\n", "ScenarioError"),
        ("manifests", b"apiVersion: v1\nkind: List\nmetadata: {name: a}\nitems: 3\n", "ScenarioError"),
        ("kind-configs", b"kind: Cluster\nnetworking: x\n", "UsageError"),
        ("kind-configs", b"kind: Cluster\nnodes: [{role: control-plane, extraMounts: x}]\n", "UsageError"),
        ("kubeconfigs", b"!!int ''", "UsageError"),
        ("kubeconfigs", _DEEP, "UsageError"),
        ("manifests", _DEEP, "ScenarioError"),
        ("manifests", b"- " * 100_000, "ScenarioError"),
        ("templates", "[" * 100_000, "TemplateFault"),
        ("templates", '{% if i > 9 %}x{% endif %}\na: "b\n', "TemplateFault"),
        ("templates", "apiVersion: !!timestamp x\n", "TemplateFault"),
        ("record-names", "x" * 5000, "UsageError"),
    ],
)
def test_what_was_found_once(target: str, value: object, ending: str) -> None:
    assert check(TARGETS[target], value) == ending


@pytest.mark.parametrize(
    "expression",
    [
        "{{ 9**9**9 }}",
        "{{ 'a' * 10**10 }}",
        "{{ [1] * 10**9 }}",
        "{{ 10**999 * 10**999 * 10**999 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10**10, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ 'x'.center(10**10) }}",
        "{{ 'x' | center(10**10) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ range(10**12) | list }}",
    ],
)
def test_a_template_that_would_become_too_large_is_told(expression: str) -> None:
    with pytest.raises(TemplateFault) as told:
        ObjectTemplate("t.yaml", f"a: b\n{expression}\n").render(0, {}, random.Random(1))
    assert told.value.place != "t.yaml:1", "it is about what was rendered"


def test_usual_widths_and_loops_are_as_before() -> None:
    text = (
        "apiVersion: v1\nkind: '{{ '%05d' % 7 }}{{ 'x' * 3 }}{{ '{:>4}'.format(1) }}{{ 2**10 }}{{ 'y' | center(3) }}'\n"
        "a: {{ 99999999999 | string | length }}\nb: [{% for n in range(3) %}{{ n }},{% endfor %}]\n"
        "c: '{{ '%d' % 99999999 }}'\n"
    )
    item = ObjectTemplate("t.yaml", text).render(0, {}, random.Random(1))
    assert item == {"apiVersion": "v1", "kind": "00007xxx   11024 y ", "a": 11, "b": [0, 1, 2], "c": "99999999"}


def test_an_error_is_one_line_whatever_it_is_about() -> None:
    said = str(HarnessError("a\x1b[2J\n\u202eb" + "x" * 9000, place="\x07p", remedy="r"))
    assert said.isprintable()
    assert said.startswith("\\x07p: a\\x1b[2J \\u202eb")
    assert said.endswith("x; r")
    assert len(said) == LONGEST


def test_a_profile_that_unpacks_without_end_is_refused() -> None:
    bomb = gzip.compress(bytes(1 << 20)) * 300  # members of one stream: 300 MiB
    with pytest.raises(ValueError, match="unpacks to more than 256 MiB"):
        pprof.decode(bomb)


def test_a_log_line_without_end_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b"\nnext\n")
    tail = Tail(path, history_bytes=1 << 30)
    lines = tail.read(1 << 14)  # 2,560 reads
    lines += tail.read()
    tail.close()
    assert [len(line) for line in lines] == [LONGEST_LINE, 4]


def test_a_kubeconfig_that_is_broken_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config"
    for text in (
        "users: [{user: {token: s3cr3t-t0ken]\n",
        "a: 'x'\n  token: s3cr3t-t0ken: b\n",
        "token: !!int s3cr3t-t0ken\n",
    ):
        path.write_text(text)
        with pytest.raises(UsageError) as told:
            read_mapping(path, "kubeconfig")
        assert "s3cr3t" not in str(told.value)
        assert str(path) in str(told.value)


def test_lines_that_are_no_events_are_left_out_and_told(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    whole = len(list(record.events()))
    with (record.path / "events.jsonl").open("ab") as file:
        file.write(b'3\n{"type": "oom_kill"}\n{"t_ns": "x", "type": "restart"}\n\xff\n' + _DEEP + b"\n")
        file.write(b'{"t_ns": 1, "type": "census", "rows": [3]}\n{"t_ns": 1, "type": "x"}\n{"t_ns": 1, "ty')
    opened = RunRecord(record.path)
    assert len(list(opened.events())) == whole + 1
    assert opened.damaged_events == 6
    assert "6 lines of events.jsonl are damaged, or of another version, and are left out" in judge(opened).warnings


def test_a_record_whose_times_cannot_be_is_not_exported_for_ever(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    phases = [phase.model_copy(update={"ended_ns": 2**61}) for phase in record.run.phases]
    record.__dict__["run"] = record.run.model_copy(update={"phases": phases})
    with pytest.raises(UsageError, match="span more than 60 days"):
        openmetrics.render(record, verdict)


def test_a_scenario_of_another_version_in_a_record_is_one_line(tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    scenario = record.run.scenario.model_copy(update={"resolved": {"name": "x", "loud": 3}})
    record.__dict__["run"] = record.run.model_copy(update={"scenario": scenario})
    with pytest.raises(UsageError, match=r"none that this version can read \(scenario.resolved.*another version"):
        Facts(record)


def test_a_document_with_a_character_that_yaml_has_not() -> None:
    with pytest.raises(UsageError, match=r"x.yaml:2:4: character U\+0001"):
        parse_document("é: 1\nü: \x01\n", "x.yaml")
