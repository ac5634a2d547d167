"""Words of the command line and of scenarios: quantities, paths, expectations, triggers, subjects, values."""

from __future__ import annotations

import functools

from hypothesis import strategies as st

from harness.cli.history import _moment
from harness.cli.run import _observation, _windows
from harness.cli.run_options import parse_sets
from harness.core import jsonpath, metrics, units
from harness.core.errors import UsageError
from harness.experiment import specs
from harness.scenario.expectation import parse_expectation
from harness.scenario.file import ScenarioFile
from harness.scenario.load import load
from harness.scenario.profiling import parse_trigger
from harness.scenario.resolve import resolve
from harness.subject.redact import redact, redact_text
from tests.fuzz.inputs import HOSTILE, texts
from tests.fuzz.property import Target

_DIMENSIONS = ("bytes", "seconds", "per_second", "ratio", "count")
_QUANTITIES = (
    "512Mi",
    "2.5KB",
    "200/s",
    "3s",
    "10m",
    "50%",
    "1e999s",
    ".5Gi",
    "-1",
    "1e-9ns",
    "0",
    "٣s",
    "1_000",
    "9" * 400,
)
_PATHS = (
    "{.status.phase}",
    "$.metadata.labels.example\\.com/x",
    "['a.b'][0]",
    ".items[*].n",
    '[?(@.type=="Ready")].status',
    "[-1]",
)
_EXPECTED = (
    "oom.kills == 0",
    "latency.flip.p99 < 5s",
    "completeness.BundleDeployment == 1",
    "memory.rss.peak <= 400Mi",
    "writes.patch.GitRepo > 1",
)
_TRIGGERS = ("memory.rss > 80% of limit", "latency.flip.p99 >= 5s", "tasks > 100", "queue.depth > 0", "loop.lag > 50ms")
_SPECS = (
    "scenario",
    "options:workers=50,status_patch=changed",
    "fleet:workers=1",
    "set:size=[2KB, 5KB],count=3",
    "git:main",
    "git:-x",
    "command:./manager --kubeconfig {kubeconfig}",
    "image:localhost:5000/x/y@sha256:00",
    "command:'",
    "set:a=1,a=2",
    "set:seed=3",
)
_SETS = (
    "secrets=500",
    "seed=7",
    "options.workers=50",
    "memray=launch",
    "profile=on-demand",
    "memory_limit=256Mi",
    "rate=max",
    "secrets=[1, 2]",
    "repos={a: 1}",
)
_SECRETS = (
    "--token=abc",
    "--password x",
    "https://u:p@h/",
    "Authorization: Bearer abcdefgh1",
    '"client-key-data": "x"',
    "eyJhbGciOiJIUz.e30.c2ln",
)
_MOST_WALKED = 40


@functools.cache
def scenario(name: str) -> ScenarioFile:
    """A shipped scenario, read once."""
    return load(name)


def _quantity(case: tuple[str, int]) -> None:
    text, number = case
    dimension = _DIMENSIONS[number]
    value = units.parse(text, dimension)  # type: ignore[arg-type] # one of the literals
    assert isinstance(units.format_value(value, dimension), str)  # type: ignore[arg-type] # as above


def _path(text: str) -> None:
    jsonpath.parse(text).find(
        {"status": {"phase": "x"}, "items": [{"n": 1, "type": "Ready", "status": [1]}], "a.b": [{"c": None}]}
    )


def _sets(text: str) -> None:
    for name in ("smoke", "secrets-8k"):
        resolve(scenario(name), sets=parse_sets([text]))


def _spec(text: str) -> None:
    specs.is_spec(text)
    arm = specs.parse(text, scenario("smoke"), side="candidate", build="make", subject=None)
    specs.checked(arm, scenario("smoke"), profile=None, sets={}, side="candidate")


def _options(text: str) -> None:
    failed: UsageError | None = None
    for each in (
        lambda: _observation(True, text),
        lambda: _moment(text),
        lambda: resolve(scenario("smoke"), sets=_windows([text])),
    ):
        try:
            each()
        except UsageError as error:
            failed = error
    if failed is not None:
        raise failed


def _metric(text: str) -> None:
    metrics.resolve(text)


def _redact(text: str) -> None:
    redact_text(text)
    redact(text.split())


TARGETS = (
    Target(
        "quantities",
        st.tuples(texts(_QUANTITIES, ("Mi", "e", ".", "+", "%")), st.integers(0, 4)),
        _quantity,
        (ValueError,),
        2,
    ),
    Target(
        "jsonpath",
        texts(_PATHS, ("[", "]", "*", "..", "@", "'")),
        _path,
        (ValueError,),
        2,
        tuple(p.encode() for p in _PATHS),
        True,
    ),
    Target(
        "expectations",
        texts(_EXPECTED, ("==", "latency.", "Mi", *HOSTILE)),
        parse_expectation,
        (ValueError,),
        2,
        tuple(p.encode() for p in _EXPECTED),
        True,
    ),
    Target(
        "triggers",
        texts(_TRIGGERS, ("%", "of limit", ">=")),
        parse_trigger,
        (ValueError,),
        1,
        tuple(p.encode() for p in _TRIGGERS),
        True,
    ),
    Target(
        "metric-names",
        texts(("latency.flip.p99", "writes.patch.GitRepo", "memory.rss.peak"), (".",)),
        _metric,
        (ValueError,),
        1,
    ),
    Target(
        "set-options",
        texts(_SETS, ("=", "[", "{", ": ", "!!python/object/apply:os.system", "&a", "*a", *HOSTILE)),
        _sets,
        (),
        1,
        tuple(p.encode() for p in _SETS),
        True,
    ),
    Target(
        "specs",
        texts(_SPECS, (",", "=", ":", "[", "'", "--token=x", *HOSTILE)),
        _spec,
        (UsageError,),
        1,
        tuple(p.encode() for p in _SPECS),
        True,
    ),
    Target(
        "cli-words",
        texts(("30d", "2026-11-01", "99999w", "5m", "create-Secret", "tasks > 5", "2026-W01"), HOSTILE),
        _options,
        (),
        1,
    ),
    Target("redaction", texts(_SECRETS, ("=", " ", "://", "@", "Bearer ")), _redact, (), 1),
)
