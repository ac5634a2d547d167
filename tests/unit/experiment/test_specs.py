"""SPEC: what an arm of a comparison measures, and what is said of a SPEC that means nothing."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment import specs, worktree
from harness.experiment.gating import Request, stated
from harness.experiment.pairs import check_fixed_work, schedule
from harness.scenario.load import load
from harness.scenario.resolve import resolve

FLIP = load("label-flip")


def parse(spec: str) -> specs.Arm:
    arm = specs.parse(spec, FLIP, side="candidate", build=None, subject=None)
    return specs.checked(arm, FLIP, profile="quick", sets={"repos": "10"}, side="candidate")


@pytest.mark.parametrize(
    ("spec", "sets", "words"),
    [
        ("scenario", {}, "the scenario as it is"),
        ("fleet:status_patch=changed", {"options.status_patch": "changed"}, "fleet status_patch=changed"),
        (
            "options:workers=5,workers.bundle=7",
            {"options.workers": "5", "options.workers.bundle": "7"},
            "fleet workers=5, workers.bundle=7",
        ),
        ("set:memory_limit=256Mi", {"memory_limit": "256Mi"}, "with memory_limit=256Mi"),
    ],
)  # fmt: skip
def test_specs_of_the_scenarios_own_subject(spec: str, sets: dict[str, str], words: str) -> None:
    arm = parse(spec)
    assert arm.sets == {"repos": "10", **sets}
    assert (arm.facts.words, arm.subject) == (words, None)


def test_a_command_is_kept_without_its_secrets() -> None:
    arm = parse("command:./manager --token=abc --kubeconfig {kubeconfig}")
    assert arm.subject == "./manager --token=abc --kubeconfig {kubeconfig}"
    assert "abc" not in arm.facts.model_dump_json()
    assert arm.facts.kind == "command"


def test_a_comma_inside_brackets_belongs_to_the_value() -> None:
    arm = specs.parse("set:size=[2KB, 5KB],secrets=5", load("secrets-8k"), side="baseline", build=None, subject=None)
    assert arm.sets == {"size": "[2KB, 5KB]", "secrets": "5"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("optoins:workers=5", "--candidate optoins:workers=5: unknown kind of subject 'optoins'; write"),
        ("nothing", "--candidate nothing: not a subject; write scenario, "),
        ("options:", "--candidate options:: not a subject; write scenario, "),
        ("options:workers", "--candidate options:workers: 'workers' is not KEY=VALUE; write options:workers=50"),
        ("options:workers=1,workers=2", "--candidate options:workers=1,workers=2: workers stands twice; remove one"),
        ("calibrated:leak=1KiB", "--candidate calibrated:leak=1KiB: the subject of label-flip is fleet, not"),
        ("set:seed=5", "--candidate set:seed=5: both runs of a pair have the same seed; leave seed out"),
        ("set:workres=5", "--candidate set:workres=5: unknown parameter 'workres'; did you mean 'workers'?"),
        ("command:'x", "--candidate command:'x: not a command line: No closing quotation; look at its quotes"),
        ("image:", "--candidate image:: not a subject; write scenario, "),
        ("image:a b", "--candidate image:a b: 'a b' is no image; write image:NAME:TAG or image:NAME@DIGEST"),
        ("image:--rm", "--candidate image:--rm: '--rm' is no image; write image:NAME:TAG or image:NAME@DIGEST"),
        ("git:--upload-pack=x", "--candidate git:--upload-pack=x: '--upload-pack=x' is no revision; write git:BRANCH"),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(spec)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_has_the_form_of_a_spec() -> None:
    assert all(map(specs.is_spec, ("scenario", "fleet:a=b", "git:main", "image:x:1", "command:x y", "optoins:a=b")))
    assert not any(map(specs.is_spec, ("k4x7q", "20261122-090000-k4x7q:candidate", "runs/20261122-090000-k4x7q")))


def test_pairs_are_drawn_beforehand_and_balanced() -> None:
    drawn, again = (list(zip(range(40), schedule(7), strict=False)) for _ in range(2))
    assert drawn == again
    items = [item for _, item in drawn]
    assert [item.number for item in items] == list(range(1, 41))
    assert sum(item.order[0] == "baseline" for item in items) == 20
    assert len({item.order for item in items[::2]}) == 2  # which of two comes first is chance
    assert len({item.seed for item in items}) == 40
    assert next(schedule(8)) != items[0]


def test_a_load_that_depends_on_speed_is_no_fixed_work(tmp_path: Path) -> None:
    text = (
        "name: x\nsummary: x\nsubject: {command: [sh]}\nload:\n"
        "  - create: {kind: Secret, count: 9, rate: {step_until_failure: [50/s, 100/s], by: 50/s, each: 1s}}\n"
    )
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="step create-Secret sends as much as is kept"):
        check_fixed_work(resolve(load(str(path))), "x")
    check_fixed_work(resolve(FLIP), "label-flip")


def test_primary_metrics_of_the_command_line() -> None:
    scenario = resolve(FLIP)
    chosen = stated(
        FLIP, scenario, Request("a", "b", primary=[("memory.rss.peak", "5%"), ("latency.flip.p99", "50ms")])
    )
    assert [(item.metric, item.threshold, item.scale) for item in chosen] == [
        ("memory.rss.peak", 0.05, "relative"),
        ("latency.flip.p99", 0.05, "absolute"),
    ]
    assert [item.metric for item in stated(FLIP, scenario, Request("a", "b"))] == ["latency.flip.p50", "writes.total"]


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        (("memory.rss.peek", "5%"), "--primary memory.rss.peek=5%: unknown metric 'memory.rss.peek'; did you mean"),
        (("memory.rss.peak", "5s"), "--primary memory.rss.peak=5s: unit 's' of '5s' is not one of B"),
        (("memory.rss.peak", "0"), "--primary memory.rss.peak=0: '0' is not above 0; write a share such as 3%, or 500KB"),
        (("reconciles.total", "5%"), "--primary reconciles.total=5%: reconciles.total cannot decide: neither more nor"),
        (("latency.flop.p99", "5%"), "--primary latency.flop.p99=5%: no probe 'flop' for metric"),
    ],
)  # fmt: skip
def test_a_wrong_primary_metric_is_one_line(primary: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        stated(FLIP, resolve(FLIP), Request("a", "b", primary=[primary]))
    assert str(caught.value).startswith(message)


def test_the_same_metric_twice_is_no_family_of_two() -> None:
    twice = [("memory.rss.peak", "5%"), ("memory.rss.peak", "3%")]
    with pytest.raises(UsageError, match=r"--primary memory\.rss\.peak stands twice; remove one"):
        stated(FLIP, resolve(FLIP), Request("a", "b", primary=twice))


def test_a_scenario_that_says_nothing_of_a_gate() -> None:
    smoke = load("smoke")
    with pytest.raises(UsageError, match="scenario smoke does not say what decides; add gate:"):
        stated(smoke, resolve(smoke), Request("a", "b"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits of a program, and the working directory in it."""
    tree = tmp_path / "repo"
    tree.mkdir()

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    for number in (1, 2):
        (tree / "source").write_text(f"version {number}\n")
        git("add", ".")
        git("commit", "--quiet", "-m", str(number))
        git("tag", f"v{number}")
    monkeypatch.chdir(tree)
    return tree


def scenario_with(tmp_path: Path, command: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\nsummary: x\nsubject: {{command: [{command}]}}\nload: [{{create: {{kind: Secret, count: 1}}}}]\n"
    )
    return path


def test_a_revision_is_checked_out_built_and_taken_away(repository: Path, tmp_path: Path) -> None:
    file = load(str(scenario_with(tmp_path, "./manager, --kubeconfig, '{kubeconfig}'")))
    arm = specs.parse("git:v1", file, side="baseline", build="cp source manager", subject=None)
    said: list[str] = []
    with ExitStack() as stack:
        built = worktree.prepare(arm, file, resolve(file), "cp source manager", stack, said.append)
        assert built.subject is not None
        program = Path(built.subject.split()[0])
        assert program.read_text() == "version 1\n"
        assert built.subject.endswith("--kubeconfig '{kubeconfig}'")
        assert built.env["PYTHONPATH"].startswith(str(program.parent))
        assert built.facts.revision is not None
        assert len(built.facts.revision) == 40
        assert said[0].startswith("checking out v1")
    assert not program.exists()
    listed = subprocess.run(["git", "worktree", "list"], check=True, capture_output=True, text=True).stdout
    assert len(listed.splitlines()) == 1
    assert (repository / "source").read_text() == "version 2\n"


@pytest.mark.parametrize(
    ("revision", "build", "message"),
    [
        ("v9", None, "git rev-parse: no such revision"),
        ("v1", "sh -c 'echo broken; exit 3'", "the build of v1 failed (exit code 3): broken; try the command in a checkout"),
        ("v1", "no-such-builder", "--build: the program 'no-such-builder' is not on PATH and not in the checkout"),
        ("v1", None, "is not there after the build of"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_one_line_and_leaves_nothing(
    repository: Path, tmp_path: Path, revision: str, build: str | None, message: str
) -> None:
    file = load(str(scenario_with(tmp_path, "./manager")))
    arm = specs.parse(f"git:{revision}", file, side="baseline", build=build, subject=None)
    with pytest.raises((UsageError, EnvironmentFault)) as caught, ExitStack() as stack:
        worktree.prepare(arm, file, resolve(file), build, stack, lambda _: None)
    assert message in str(caught.value)
    listed = subprocess.run(["git", "worktree", "list"], check=True, capture_output=True, text=True).stdout
    assert len(listed.splitlines()) == 1
