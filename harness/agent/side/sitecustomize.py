"""Runs at the start of every Python process of a subject, before its own code.

It starts what the environment asks for, then hands over to the sitecustomize that it hides, if there is one. Whatever
goes wrong in our part stays unseen: the subject must run as if we were not there.
"""

from __future__ import annotations

import os
import sys


def _start() -> None:
    address = os.environ.get("HARNESS_AGENT_SOCKET")
    if address:
        import harness_agent  # type: ignore[import-not-found]  # a top-level module only in the subject

        harness_agent.start(address)
    profile = os.environ.get("HARNESS_PYROSCOPE")
    if profile:
        from harness_agent import profile as profiler

        profiler.start(profile)


def _chain() -> None:
    """Run the sitecustomize that this one hides. Its errors are its own: `site` reports them as it always does."""
    here = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120  # pathlib would cost the subject a megabyte
    rest = [entry for entry in sys.path if os.path.realpath(entry) != here]
    for finder in sys.meta_path:
        spec = finder.find_spec("sitecustomize", rest) if hasattr(finder, "find_spec") else None
        if spec is None or spec.loader is None:
            continue
        module = type(sys)("sitecustomize")
        module.__spec__, module.__loader__ = spec, spec.loader
        if spec.origin is not None:
            module.__file__ = spec.origin
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)
        return


try:  # noqa: SIM105  # contextlib would cost the subject memory
    _start()
except BaseException:  # noqa: BLE001, S110  # nothing of ours may reach the subject
    pass
_chain()
