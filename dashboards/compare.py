"""Compare: two runs beside each other, by result, over time and by profile."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards import parts
from dashboards.names import WHOLE, sampled
from dashboards.profiles import CPU, HEAP, query, selector
from harness.report import families
from harness.report.openmetrics_sites import SITES

SIDES = ("a", "b")
GROWN: parts.Steps = ((None, "green"), (2**20, "orange"), (16 * 2**20, "red"))
CHANGE: parts.Steps = ((None, "green"), (0.05, "orange"), (0.2, "red"))


def side(which: str, name: str, *more: str) -> str:
    """A selector of what belongs to run A or B."""
    wanted = ('job=~"$job"', 'instance=~"$instance"', f'scenario=~"$scenario_{which}"', f'run_id=~"$run_{which}"')
    return f"{name}{{{', '.join([*wanted, _arm(which), *more])}}}"


def _arm(which: str) -> str:
    return f'arm=~"$arm_{which}"'


def build() -> dashboard.Dashboard:
    """The dashboard."""
    made = parts.board(
        "compare",
        "Controller harness / Compare",
        "Two runs: every result with its change, the same series beside each other, and their profiles.",
        since="now-24h",
    ).with_variable(parts.source_variable())
    for which in SIDES:
        name = which.upper()
        for each in (
            parts.variable(f"scenario_{which}", f"Scenario {name}", "harness_run, scenario"),
            parts.variable(
                f"run_{which}", f"Run {name}", f'harness_run{{scenario=~"$scenario_{which}"}}, run_id', newest=True
            ),
            parts.variable(f"arm_{which}", f"Arm {name}", f'harness_run{{run_id=~"$run_{which}"}}, arm', many=True),
        ):
            made = made.with_variable(each)
    for each in parts.origin():
        made = made.with_variable(each)
    made = made.with_variable(parts.text_variable("pyroscope", "Address of Pyroscope", "http://127.0.0.1:4040"))
    for title, kind in (("CPU profiles", CPU), ("memory profiles", HEAP)):
        made = made.link(
            parts.link(f"Difference of {title}", _difference(kind), "Both runs in Pyroscope's own difference view")
        )
    made = made.with_panel(_results())
    for panel in _curves():
        made = made.with_panel(panel)
    made = made.with_panel(_sites())
    made = made.with_row(dashboard.Row("Profiles: A on the left, B on the right"))
    for title, kind in (("CPU", CPU), ("Memory", HEAP)):
        for which in SIDES:
            text = f"{title} profile of run {which.upper()}; for the difference see the links above and `harness profile diff`."
            made = made.with_panel(
                parts.flames(f"{title} of {which.upper()}", text, kind, selector(f"$scenario_{which}", f"$run_{which}"))
            )
    return made


def _difference(kind: str) -> str:
    """Pyroscope's page that compares two queries."""
    sides = zip(("leftQuery", "rightQuery"), SIDES, strict=True)
    queries = [f"{name}={query(kind, f'${{scenario_{which}}}', f'${{run_{which}}}')}" for name, which in sides]
    return f"${{pyroscope}}/comparison-diff?{'&'.join(queries)}"


def _results() -> parts.Panel:
    a, b = (f"max by (metric, unit) (last_over_time({side(which, families.RESULT.name)}[$__range]))" for which in SIDES)
    return parts.rows_of(
        "Results",
        "Every result that both runs have; the change is (B - A) / A, none where A is 0.",
        "short",
        [(a, "A"), (b, "B"), (f"({b} - {a}) / ({a} != 0)", "change")],
        CHANGE,
        width=24,
        height=12,
        names={"Value #A": "A", "Value #B": "B", "Value #C": "(B - A) / A"},
    )


def _sites() -> parts.Panel:
    """The difference of two memory profiles; a function that only one of them has counts as 0 in the other."""
    a, b = (f"max by (function, file, moment) (last_over_time({side(which, SITES.name)}[$__range]))" for which in SIDES)
    return parts.rows_of(
        "Difference of memory profiles",
        "Bytes that each function held at the peak and at the end, in runs under memray (the 100 functions with the most).",
        "bytes",
        [(a, "A"), (b, "B"), (f"({b} or {a} * 0) - ({a} or {b} * 0)", "B - A")],
        GROWN,
        width=24,
        height=12,
        names={"Value #A": "A", "Value #B": "B", "Value #C": "B - A"},
    )


def _curves() -> list[parts.Panel]:
    found: list[parts.Panel] = []
    for title, text, unit, name, more in (
        ("Memory charged", "Memory charged to the cgroup of the subject.", "bytes", "memory.cgroup", WHOLE),
        ("RSS", "Resident set of the subject's processes.", "bytes", "memory.rss", WHOLE),
        ("Tasks", "asyncio tasks or goroutines of the subject.", "short", "tasks", f'coroutine="",{WHOLE}'),
        ("Queue", "Items waiting in the work queues.", "short", "queue.depth", ""),
    ):
        wanted = [more] if more else []
        queries = [
            (
                f"max by (run_id, arm) ({side(which, sampled(name), *wanted)})",
                f"{which.upper()} {{{{run_id}}}} {{{{arm}}}}",
            )
            for which in SIDES
        ]
        found.append(parts.curves(title, f"{text} Runs lie where they were in time.", unit, queries))
    latency = [
        (
            f"histogram_quantile(0.99, sum by (le, probe) ({side(which, f'{families.PROPAGATION.name}_bucket')}))",
            f"{which.upper()} p99 {{{{probe}}}}",
        )
        for which in SIDES
    ]
    found.append(
        parts.curves(
            "Propagation p99",
            "From the intended flip to its effect, over each run so far.",
            "s",
            latency,
            parts.SECONDS,
        )
    )
    rate = [
        (
            f"sum by (run_id) (rate({side(which, f'{families.REQUEST_DURATION.name}_count')}[$__rate_interval]))",
            f"{which.upper()} {{{{run_id}}}}",
        )
        for which in SIDES
    ]
    found.append(parts.curves("Achieved rate", "Requests of the load that succeeded, a second.", "reqps", rate))
    return found
