"""The HTML page of a gate: its pairs as charts, all metrics, what is to blame, and where it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.units import format_value
from harness.record.gate import ArmName, Effect, Gate, Primary
from harness.record.models import ExperimentArm
from harness.report import html, pairs_chart
from harness.report.figures import Timeline
from harness.report.gate_terminal import BETTER, effect_text, interval_text, moved, p_text
from harness.report.results import NONE, clean, value_text
from harness.report.tables import Facts, Table


def render(gate: Gate, links: Mapping[str, str]) -> str:
    """The page as text. `links` are addresses of the runs' own pages, by run id, where there are such."""
    figures = pairs_chart.charts(gate)
    clear = [line for line in gate.secondary if moved(line)]
    still = [line for line in gate.secondary if not moved(line)]
    return html.assemble(
        "gate.html.j2",
        Timeline(0.0, [], []),
        figures,
        gate=gate,
        title=" · ".join(filter(None, (f"gate {clean(gate.scenario)}", clean(gate.profile or "")))),
        length="" if gate.ended_at is None else format_value((gate.ended_at - gate.started_at).total_seconds(), "seconds"),
        reasons=[clean(reason) for reason in gate.reasons],
        warnings=[clean(warning) for warning in gate.warnings],
        drawn=figures,
        primary=_primary(gate.primary),
        looks=_looks(gate),
        blame=_blame(gate),
        moved=_metrics("That moved", clear, "each on its own, nothing adjusted: of many some move by chance"),
        still=_metrics("The others", still, ""),
        pairs=pair_rows(gate, links),
        environment=_environment(gate),
        differences=Table(
            "In what the environments differ", ["what", "baseline", "candidate"],
            [[clean(item.what), clean(item.baseline), clean(item.candidate)] for item in gate.environment.differences],
        ),
    )  # fmt: skip


def pair_rows(gate: Gate, links: Mapping[str, str]) -> list[dict[str, object]]:
    """The pairs in the order of execution, each run with the address of its page where it has one."""
    return [
        {
            "pair": pair.pair, "seed": pair.seed, "first": pair.order[0] if pair.order else NONE,
            "runs": [_run(pair.runs.get(arm), links) for arm in _ARMS],
            "state": "valid" if pair.valid else "; ".join(map(clean, pair.reasons)),
        }
        for pair in gate.pairs
    ]  # fmt: skip


_ARMS: tuple[ArmName, ArmName] = ("baseline", "candidate")


def _run(run_id: str | None, links: Mapping[str, str]) -> tuple[str, str]:
    return (NONE, "") if run_id is None else (clean(run_id), links.get(run_id, ""))


def _primary(lines: Sequence[Primary]) -> Table:
    headers = [
        "metric", "verdict", "baseline", "candidate", "effect", "interval", "too much", "p worse", "p within", "MDE",
        "noise of a pair",
    ]  # fmt: skip
    rows = [
        [
            clean(line.metric), line.verdict, value_text(line.baseline, line.unit), value_text(line.candidate, line.unit),
            effect_text(line, line.effect), interval_text(line), clean(line.threshold_text), p_text(line.p_regress_holm),
            p_text(line.p_pass), _unsigned(line, line.mde), _unsigned(line, line.noise),
        ]
        for line in lines
    ]  # fmt: skip
    return Table("What decides", headers, rows, tuple(range(2, 11)))


def _unsigned(line: Effect, value: float | None) -> str:
    return effect_text(line, value).lstrip("+")


def _looks(gate: Gate) -> Table:
    rows = [[str(look.pairs), f"{look.alpha:.2g}", look.verdict] for look in gate.looks]
    return Table("Looks at the data", ["after valid pairs", "one-sided level", "what it said"], rows, (0, 1))


def _metrics(title: str, lines: Sequence[Effect], note: str) -> Table:
    headers = ["metric", "baseline", "candidate", "effect", "interval", "noise of a pair", "better"]
    rows = [
        [
            clean(line.metric), value_text(line.baseline, line.unit), value_text(line.candidate, line.unit),
            effect_text(line, line.effect) if line.reason is None else clean(line.reason), interval_text(line),
            _unsigned(line, line.noise), BETTER[line.direction],
        ]
        for line in lines
    ]  # fmt: skip
    return Table(title, headers, rows, (1, 2, 3, 4, 5), note)


def _blame(gate: Gate) -> Table:
    rows = [
        [
            str(item.rank), item.kind, clean(item.name), value_text(item.baseline, item.unit),
            value_text(item.candidate, item.unit), f"{item.pairs_grown} of {item.pairs}", clean(" ← ".join(item.callers)),
        ]
        for item in gate.blame
    ]  # fmt: skip
    headers = ["", "kind", "what", "baseline", "candidate", "grew in pairs", "called from"]
    if not any(row[-1] for row in rows):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    return Table("What grew, most first", headers, rows, (0, 3, 4, 5), "It has no error rate: it says where to look.")


def _environment(gate: Gate) -> list[tuple[str, Facts]]:
    where = gate.environment
    machine = [("machine", clean(where.machine)), ("cluster", clean(where.cluster))]
    machine += [("fingerprint", clean(each)) for each in where.fingerprints]
    return [
        ("Machine", machine),
        ("Versions", [(clean(name), clean(version)) for name, version in where.versions.items()]),
        ("Baseline", _arm(gate.baseline)),
        ("Candidate", _arm(gate.candidate)),
    ]


def _arm(arm: ExperimentArm) -> Facts:
    facts = {
        "subject": arm.words, "SPEC": arm.spec, "command": arm.command, "commit": arm.revision, "built with": arm.build,
        "image": arm.image, "image id": arm.image_id, **arm.sets,
    }  # fmt: skip
    return [(clean(name), clean(value)) for name, value in facts.items() if value]
