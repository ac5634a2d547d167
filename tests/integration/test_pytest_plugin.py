"""The pytest plugin as a controller's author uses it: suites of their own, run by a pytest of their own."""

from __future__ import annotations

import sys

import pytest

from harness.core.paths import cache_dir, scenarios_dir

pytest_plugins = ["pytester"]
LIMIT_S = 800
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(LIMIT_S + 60)]

_CONTROLLER = [sys.executable, "-m", "harness.controllers.calibrated", "--kubeconfig", "{kubeconfig}"]


_CACHE = cache_dir()
"""Before pytester gives the suites a home of their own, in which the control plane would be built again."""


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite sees this plugin and no other, however much is installed, and warnings are errors in it."""
    monkeypatch.setenv("HARNESS_CACHE", str(_CACHE))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = -p harness.testing.plugin --strict-markers -W error\n")


def _outcomes(pytester: pytest.Pytester, *arguments: str) -> tuple[dict[str, int], str]:
    done = pytester.runpytest_subprocess(*arguments, timeout=LIMIT_S)
    return done.parseoutcomes(), done.stdout.str() + done.stderr.str()


def test_each_test_has_a_namespace_of_its_own_in_a_real_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import stat
        import pytest
        from kubernetes import client, config
        from harness.kube.errors import ApiError

        SEEN = []
        MANIFEST = '''
        {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {key: first}}
        ---
        {apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {key: word}}
        '''

        def test_first(kube):
            assert [item["kind"] for item in kube.apply(MANIFEST)] == ["ConfigMap", "Secret"]
            assert kube.get("v1", "ConfigMap", "one")["data"] == {"key": "first"}
            assert kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"key": "2"}})
            assert stat.S_IMODE(kube.kubeconfig.stat().st_mode) == 0o600
            with config.new_client_from_config(str(kube.kubeconfig)) as official:
                found = client.CoreV1Api(official).read_namespaced_config_map("one", kube.namespace)
            assert found.data == {"key": "2"}
            SEEN.append(kube.namespace)

        def test_second(kube):
            assert kube.namespace not in SEEN
            with pytest.raises(ApiError, match="not found"):
                kube.get("v1", "ConfigMap", "one")
            with pytest.raises(ApiError, match="not found"):
                kube.get("v1", "Namespace", SEEN[0])
        """
    )
    outcomes, text = _outcomes(pytester)
    assert outcomes == {"passed": 2}, text


def test_runs_are_judged_by_the_test_and_by_its_markers(pytester: pytest.Pytester) -> None:
    """The subject's truth is known: it keeps 4 KiB for each object, and every tenth reconcile leaves a task behind."""
    (pytester.path / "calibrated").symlink_to(scenarios_dir() / "calibrated")
    (pytester.path / "small.yaml").write_text(
        """
name: small
summary: Items for a subject that is given from outside.
setup: {apply: [calibrated/crd.yaml]}
subject: {controller: calibrated, memory_limit: 256Mi}
params: {items: 300}
load:
  - create: {template: calibrated/item.yaml, count: "{items}", rate: max}
    probes: [{name: ready, until: {kind: Item, condition: Ready}}]
  - settle: {quiet_for: 1s, timeout: 1m}
expect: [completeness.Item == 1]
"""
    )
    leaking = [*_CONTROLLER, "--bytes_per_object", "4KiB", "--tasks_left", "1/10"]
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture
        def subject():
            return {leaking!r}

        @pytest.mark.memory_per_object("Item.calibrated.harness.dev", "64 KiB")
        @pytest.mark.no_task_leak(allowed=30)
        def test_keeps_to_its_bounds(run_scenario):
            run = run_scenario("small.yaml")
            assert run.passed
            assert run.oom.kills == 0
            assert run.tasks.stayed == 30

        @pytest.mark.memory_per_object("Item.calibrated.harness.dev", "10 B")
        @pytest.mark.no_task_leak
        def test_breaks_them(run_scenario):
            run_scenario("small.yaml", set={{"items": 100}})

        @pytest.mark.no_task_leak
        def test_without_a_run():
            pass

        def test_a_run_that_says_nothing(run_scenario):
            run_scenario("small.yaml", set={{"items": 1}}, subject=["sleep", "100"])

        def test_a_mistake(run_scenario):
            run_scenario("small.yaml", set={{"item": 100}})
        """
    )
    outcomes, text = _outcomes(pytester, "--harness-out", "kept")
    assert outcomes == {"passed": 1, "failed": 4}, text
    assert "@no_task_leak: 10 tasks stayed, more than 0: " in text
    assert "per Item.calibrated.harness.dev, more than 10 B (report: " in text
    assert "@no_task_leak: the test has made no run; call `run_scenario` in it" in text
    assert "did you mean 'items'?" in text
    assert "the run is invalid: the subject made no request to the API server" in text
    assert len(list((pytester.path / "kept").glob("*/report.html"))) == 3
