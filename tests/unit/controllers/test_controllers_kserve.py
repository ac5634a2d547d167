"""`kserve`: its command line, the memory cgroup it reads, and what it does as the limit comes nearer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.controllers.kserve.options import SecretsMode, parse
from harness.controllers.kserve.pressure import Pressure
from harness.controllers.kserve.series import Series
from harness.controllers.runtime import cgroup
from harness.controllers.runtime.metrics import Metrics

GIB = 2**30


def tree(directory: Path, *, version: int, inside: str, mounted: str, limit: str) -> Path:
    """A /proc/self and a cgroup file system, as files; the process is in `inside`, which `mounted` is the root of."""
    point = directory / "cgroup"
    proc = directory / "proc"
    proc.mkdir()
    controller = "" if version == 2 else "memory"
    (proc / "cgroup").write_text(f"5:cpu,cpuacct:/x\n{0 if version == 2 else 7}:{controller}:{inside}\n")
    kind = "cgroup2 cgroup2 rw" if version == 2 else "cgroup cgroup rw,memory"
    (proc / "mountinfo").write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda rw\n30 22 0:26 {mounted} {point} rw,nosuid shared:9 - {kind}\n"
    )
    own = point / inside.removeprefix(mounted if mounted != "/" else "").strip("/")
    own.mkdir(parents=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    field = "inactive_file" if version == 2 else "total_inactive_file"
    (own / names[0]).write_text(limit + "\n")
    (own / names[1]).write_text("500\n")
    (own / "memory.stat").write_text(f"anon 1\n{field} 200\n")
    return proc


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("inside", "mounted"), [("/a/b", "/"), ("/pods/x", "/pods/x"), ("/", "/")])
def test_it_finds_its_own_limit_and_what_counts(tmp_path: Path, version: int, inside: str, mounted: str) -> None:
    found = cgroup.own(tree(tmp_path, version=version, inside=inside, mounted=mounted, limit="1000"))
    assert found is not None
    assert (found.limit, found.working_set()) == (1000, 300)


@pytest.mark.parametrize(("version", "none"), [(1, str(2**63 - 4096)), (2, "max")])
def test_where_nothing_limits_it_there_is_none_and_a_parents_limit_counts(
    tmp_path: Path, version: int, none: str
) -> None:
    proc = tree(tmp_path, version=version, inside="/a/b", mounted="/", limit=none)
    assert cgroup.own(proc) is None
    parent = tmp_path / "cgroup" / "a"
    (parent / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text("7000")
    found = cgroup.own(proc)
    assert found is not None
    assert (found.limit, found.usage_file.parent) == (7000, parent)
    assert cgroup.own(tmp_path / "nowhere") is None


def test_it_warns_before_it_drops_and_drops_once(tmp_path: Path) -> None:
    proc = tree(tmp_path, version=2, inside="/a", mounted="/", limit="1000")
    usage = tmp_path / "cgroup" / "a" / "memory.current"
    dropped: list[str] = []
    metrics = Metrics()

    async def scenario() -> list[tuple[float, float | None, int]]:
        pressure = Pressure(
            Series(metrics), cgroup.own(proc), alert_at=0.7, degrade_at=0.85, relieve=dropped.append, interval_s=0.001
        )
        task = asyncio.create_task(pressure.run())
        seen = []
        for used in (800, 900, 1000, 1150, 1200, 700):  # of which 200 can be reclaimed
            usage.write_text(str(used))
            pressure.synced.clear()
            await asyncio.wait_for(pressure.synced.wait(), 10)
            await asyncio.sleep(0.01)
            share = metrics.registry.get_sample_value("kserve_memory_working_set_ratio")
            assert share is not None
            assert share == pytest.approx((used - 200) / 1000)
            seen.append((share, metrics.registry.get_sample_value("kserve_memory_alert"), len(dropped)))
        task.cancel()
        return [(round(share, 3), alert, count) for share, alert, count in seen]

    assert asyncio.run(scenario()) == [
        (0.6, 0.0, 0), (0.7, 1.0, 0), (0.8, 1.0, 0), (0.95, 1.0, 1), (1.0, 1.0, 1), (0.5, 0.0, 1),
    ]  # fmt: skip


def test_without_a_limit_there_is_no_alert_series() -> None:
    metrics = Metrics()
    Pressure(Series(metrics), None, alert_at=0.7, degrade_at=0.85, relieve=None)
    assert metrics.registry.get_sample_value("kserve_memory_alert") is None


def test_switches() -> None:
    made = parse(["--kubeconfig", "k", "--secrets=auto", "--threshold=5", "--namespaces=a,b,a", "--page_size=7"])
    assert (made.secrets, made.threshold, made.namespaces, made.page_size) == (SecretsMode.AUTO, 5, ("a", "b"), 7)
    assert not made.degrade_under_pressure
    assert parse(["--kubeconfig", "k", "--degrade_under_pressure=true"]).degrade_under_pressure


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--secrets=some",), "'some' is not one of cache, get, auto"),
        (("--secrets=get", "--selector=a=b"), "secrets=get keeps no Secrets"),
        (("--alert_at=0.9",), "alert_at 0.9 must be below degrade_at 0.85"),
        (("--alert_at=nan",), "'nan' is not a share"),
        (("--degrade_at=2",), "'2' is not a share"),
        (("--namespaces=A",), "'A' is not the name of a namespace"),
        (("--webhook-bind-address=127.0.0.1:1",), "a webhook needs both"),
        (("--page_size=0",), "'0' is not a whole number"),
        (("--degrade_under_pressure=maybe",), "'maybe' is not one of on, off"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], part: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--kubeconfig", "k", *arguments])
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert part in text
    assert text.count("\n") == 1
