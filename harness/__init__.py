"""Memory profiling and load tests for Kubernetes controllers.

`from harness import Scenario, run` is for tests and notebooks (docs/pytest.md). Both are imported when they are asked for:
a reference controller that runs under a small memory limit lives in this package too and must not carry DuckDB.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.testing.run import Run as Run
    from harness.testing.run import Scenario as Scenario
    from harness.testing.run import run as run

__version__ = "0.1.0"

_OFFERED = ("Run", "Scenario", "run")


def __getattr__(name: str) -> Any:  # noqa: ANN401 # what is offered
    if name in _OFFERED:
        from importlib import import_module

        return getattr(import_module("harness.testing.run"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_OFFERED]
