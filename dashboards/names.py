"""Names of series and the labels by which every query of a dashboard chooses among them."""

from __future__ import annotations

from harness.core import series
from harness.report.families import Family

CHOSEN = ('job=~"$job"', 'instance=~"$instance"', 'scenario=~"$scenario"', 'run_id=~"$run"', 'arm=~"$arm"')
WHOLE = 'replica="",incarnation=""'
"""Of what is sampled with and without these labels: the whole subject."""


def sampled(name: str) -> str:
    """A series of `core.series` as Prometheus knows it, such as `harness_memory_rss_bytes`. Raises KeyError for no such."""
    entry = series.BY_NAME[name]
    return f"{entry.family}_total" if entry.type == "counter" else entry.family


def chosen(name: str, *more: str, without: str = "") -> str:
    """A selector of what the variables of the dashboard choose; `without` is a label whose variable does not count."""
    kept = [item for item in CHOSEN if not without or not item.startswith(f"{without}=")]
    return f"{name}{{{', '.join([*kept, *more])}}}"


def of(name: str, *more: str) -> str:
    """A sampled series, chosen by the variables."""
    return chosen(sampled(name), *more)


def own(family: Family, *more: str, suffix: str = "") -> str:
    """One of the families of `report.families`, chosen by the variables."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return chosen(name + suffix, *more)
