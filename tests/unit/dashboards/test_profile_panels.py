"""Profile panels ask for what the collectors send. No query endpoint of a Pyroscope is here: see docs/dashboards.md."""

from __future__ import annotations

import pytest

from harness.collectors.fold import PROFILE_TYPES
from harness.collectors.pushing import page, tag
from tests import dashboard_queries as queries

_SENT = {"service_name", "run_id"}
"""Labels by which `collectors.pyroscope` sends every profile; `service_name` is the scenario."""


@pytest.mark.parametrize("board", ["run", "compare"])
def test_types_and_labels_are_those_of_the_profiles_that_are_sent(board: str) -> None:
    sent = {PROFILE_TYPES["process_cpu", "cpu"], PROFILE_TYPES["memory", "inuse_space"]}
    found = list(queries.profile_queries(board))
    assert {target["profileTypeId"] for _, target in found} == sent
    assert len(found) == {"run": 2, "compare": 4}[board]
    for _, target in found:
        assert target["queryType"] == "profile"
        pairs = dict(pair.strip().split("=") for pair in target["labelSelector"].strip("{}").split(","))
        assert set(pairs) == {tag(name) for name in _SENT}
        assert all(value.startswith('"$') for value in pairs.values()), "chosen by variables"


def test_the_link_to_pyroscope_is_the_one_that_the_harness_makes() -> None:
    (link,) = (each for each in queries.board("run")["links"] if each["title"] == "Profiles")
    kind = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
    made = page("http://127.0.0.1:4040", kind, {"service_name": "S", "run_id": "R"}, 1, 2).split("&")[0]
    url = link["url"].replace("${pyroscope}", "http://127.0.0.1:4040")
    assert url.replace("${scenario}", "S").replace("${run}", "R") == made
