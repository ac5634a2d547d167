"""What a run sends to a real Pyroscope server, asked for by the dashboards' own queries. `PYROSCOPE_URL` names the server."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import dashboard_queries as queries
from tests.integration.harness_run import LIMIT_S, run

URL = os.environ.get("PYROSCOPE_URL", "")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(2 * LIMIT_S),
    pytest.mark.skipif(not URL, reason="no Pyroscope server: PYROSCOPE_URL is not set"),
]


def _ask(method: str, **question: object) -> Any:
    body = json.dumps({**question, "start": _ms() - 600_000, "end": _ms() + 60_000}).encode()
    request = urllib.request.Request(
        f"{URL}/querier.v1.QuerierService/{method}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _ms() -> int:
    return int(time.time() * 1000)


def _shown(target: dict[str, Any], values: dict[str, str]) -> set[str]:
    selector = queries.fill(target["labelSelector"], values)
    found = _ask(
        "SelectMergeStacktraces", profileTypeID=target["profileTypeId"], labelSelector=selector, maxNodes=16_384
    )
    return set(found["flamegraph"]["names"])


def test_every_profile_panel_shows_the_run_that_it_is_asked_for(tmp_path: Path) -> None:
    options = ("--arm", "pass", "--profile", "quick", "--memray", "launch", "--pyroscope", URL)
    _code, shown, record = run(tmp_path, "smoke", *options)
    assert not [text for text in shown["warnings"] if "yroscope" in text]
    a = {"scenario": "smoke", "run": record.run.run_id}
    values = a | {f"{name}_{side}": value for name, value in a.items() for side in "ab"}
    asked = [(board, panel, target) for board in ("run", "compare") for panel, target in queries.profile_queries(board)]
    assert len(asked) == 6
    for board, panel, target in asked:
        names = _shown(target, values)
        assert len(names) > 20, f"{board}: {panel}: {target}"
        assert "_run_module_as_main" in names or "_run_module_code" in names, "the subject's own frames"
        assert _shown(target, dict.fromkeys(values, "another")) == {"total"}, "and no other run's"
