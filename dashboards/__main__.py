"""Writes every file that is made of the Python here, or, with `--check`, says which differ from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import compare, controller, nightly, provisioning, published, rules, run

DIRECTORY = Path(__file__).parent
BOARDS: dict[str, Callable[[], dashboard.Dashboard]] = {
    "run": run.build, "controller": controller.build, "compare": compare.build, "nightly": nightly.build,
    "published": published.build,
}  # fmt: skip
_NOTE = "# Written by `python -m dashboards`; change the Python there, not this file.\n"


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file, relative to this directory, with its text."""
    for name, build in BOARDS.items():
        yield Path(f"{name}.json"), board(build())
    yield Path("prometheus/prometheus.yml"), _yaml(provisioning.prometheus())
    yield Path("prometheus/rules.yaml"), _yaml(rules.prometheus())
    yield Path("pyroscope/pyroscope.yaml"), _yaml(provisioning.pyroscope())
    yield Path("grafana/provisioning/datasources/harness.yaml"), _yaml(provisioning.datasources())
    yield Path("grafana/provisioning/dashboards/harness.yaml"), _yaml(provisioning.providers())
    yield Path("grafana/provisioning/alerting/harness.yaml"), _yaml(rules.grafana())


def board(made: dashboard.Dashboard) -> str:
    """A dashboard as Grafana reads it, keys sorted, so that a difference is one of content."""
    document: dict[str, Any] = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for number, panel in enumerate(document["panels"], 1):
        panel["id"] = number
    for annotation in document["annotations"]["list"] if document.get("annotations") else ():
        if annotation.get("expr"):  # these keys are of the data source, and unknown to the SDK
            annotation |= {"titleFormat": "{{phase}}", "textFormat": "{{action}}{{judged}} {{scenario}} {{arm}}", "step": "1s",
                           "refId": annotation["name"]}  # fmt: skip
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _yaml(document: dict[str, Any]) -> str:
    return _NOTE + yaml.safe_dump(document, sort_keys=False, width=1000)


def main(arguments: list[str]) -> int:
    """0, or 1 where a file differs from its source."""
    different = []
    for path, text in files():
        target = DIRECTORY / path
        if target.is_file() and target.read_text() == text:
            continue
        different.append(path)
        if "--check" not in arguments:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    verb = "differs from its source; run `make docs`" if "--check" in arguments else "written"
    sys.stdout.writelines(f"dashboards/{path}: {verb}\n" for path in different)
    return 1 if different and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
