"""Claims as rows of text, for the terminal, the page and Markdown alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.core import metrics
from harness.core.units import format_value
from harness.record.claims import Claim, Claims, Curve, CurveLine
from harness.report.results import clean

HEADS = ("row", "claim", "published", "metric", "off", "on", "change", "pairs", "subject", "verdict")


def row_of(claim: Claim) -> list[str]:
    """One claim as cells, in the order of HEADS."""
    pairs = f"{claim.pairs} of {claim.pairs_planned}"
    return [
        f"{claim.row}{'' if claim.headline else ', one switch'}", clean(claim.claim), clean(claim.published), claim.metric,
        value_text(claim.metric, claim.ours_off), value_text(claim.metric, claim.ours_on), change_of(claim), pairs,
        claim.subject, verdict_of(claim),
    ]  # fmt: skip


def value_text(metric: str, value: float | None) -> str:
    """A value of a metric as people read it."""
    return "–" if value is None else format_value(value, metrics.resolve(metric).metric.dimension)


def change_of(claim: Claim) -> str:
    """The change with its interval."""
    if claim.change is None:
        return "–"
    text = _signed(claim, claim.change)
    if claim.low is None or claim.high is None:
        return text
    return f"{text} ({_signed(claim, claim.low)} to {_signed(claim, claim.high)}, {claim.confidence:.0%})"


def verdict_of(claim: Claim) -> str:
    """The verdict with what belongs to it."""
    if claim.verdict == "not comparable":
        return f"not comparable: {claim.reason}"
    return f"direction: {claim.direction}" if claim.verdict == "direction" else claim.verdict


def _signed(claim: Claim, value: float) -> str:
    if claim.scale == "relative":
        return f"{value:+.1%}"
    return f"{'-' if value < 0 else '+'}{value_text(claim.metric, abs(value))}"


def arms_of(claim: Claim) -> str:
    """What differs between off and on."""
    keys = [key for key in claim.on if claim.on[key] != claim.off.get(key)]
    return ", ".join(f"{key}: {claim.off.get(key, 'default')} -> {claim.on[key]}" for key in keys)


def curve_rows(curve: Curve) -> list[list[str]]:
    """A curve as a table: the first row its heads, one column for each line."""
    xs = sorted({point.x for line in curve.lines for point in line.points})
    rows = [[curve.x, *(clean(line.name) for line in curve.lines)]]
    for x in xs:
        cells = []
        for line in curve.lines:
            point = next((item for item in line.points if item.x == x), None)
            missing = "–" if point is None else f"– ({clean(point.reason or 'no value')})"
            cells.append(value_text(curve.metric, point.value) if point and point.value is not None else missing)
        rows.append([f"{x:,.0f}", *cells])
    if any(line.slope is not None for line in curve.lines):
        rows.append(["each further one", *(_slope(line) for line in curve.lines)])
    return rows


def _slope(line: CurveLine) -> str:
    if line.slope is None or line.slope.each is None:
        return f"– ({clean(line.slope.sentence)})" if line.slope is not None else "–"
    each = line.slope.each
    low, high = ("no bound" if edge is None else format_value(edge, "bytes") for edge in (each.low, each.high))
    return f"{format_value(each.value, 'bytes')} ({low} to {high})"


def render(claims: Claims) -> str:
    """Markdown: verdicts, what was chosen, curves."""
    return "\n".join(_lines(claims)).rstrip() + "\n"


def _lines(claims: Claims) -> Iterator[str]:
    yield f"`{claims.command}`, {claims.state}, {claims.started_at:%Y-%m-%d}, on {claims.machine or 'an unknown machine'}"
    yield ""
    yield from _table([list(HEADS), *(row_of(claim) for claim in claims.claims)])
    yield from ("", "What was set, and why:", "")
    for claim in claims.claims:
        yield (
            f"- `{claim.id}`: {arms_of(claim)}; scenario `{claim.scenario}`, limit {claim.limit}, payload "
            f"{_cell(claim.payload)}. {_cell(claim.chosen)}. Result: {_cell(claim.sentence)}"
        )
    for curve in claims.curves:
        yield from ("", f"{curve.title} (`{curve.metric}`, one run for each point):", "")
        yield from _table(curve_rows(curve))
        for line in curve.lines:
            if line.slope is not None and line.slope.each is not None:
                yield from ("", f"{_cell(clean(line.name))}: {_cell(line.slope.sentence)}.")
    if claims.predictions:
        yield from ("", "The count at which the limit kills, by the line through the peaks, and really:", "")
        yield from (f"- row {item.row}, {_cell(clean(item.sentence))}" for item in claims.predictions)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"| {' | '.join(map(_cell, row))} |"
        if number == 0:
            yield f"|{'---|' * len(row)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
