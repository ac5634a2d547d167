"""What stands in braces in a subject's command, environment and URLs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.process.ports import claim_port

# `{{name}}` (templates) and `${NAME}` (shells) are left as they are, and so is every other use of braces (JSON).
_PLACEHOLDER = re.compile(
    r"\{\{\w+\}\}|\$\{\w+\}|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<argument>[A-Za-z0-9_.-]+))?\}"
)


class Placeholders:
    """Fills `{kubeconfig}`, `{namespace}`, `{run_id}` and `{port:NAME}`: a free loopback port, one per NAME.

    One object per run: a port stays the same for every text and every incarnation.
    """

    def __init__(
        self, *, kubeconfig: Path, namespace: str, run_id: str, new_port: Callable[[], int] = claim_port
    ) -> None:
        self._values = {"kubeconfig": str(kubeconfig), "namespace": namespace, "run_id": run_id}
        self._new_port = new_port
        self.ports: dict[str, int] = {}
        """Ports given out so far, by name."""
        self.webhook: dict[str, str] = {}
        """What `{webhook:…}` stands for, where the subject serves admission webhooks."""

    def port(self, name: str) -> int:
        """The port called `name`, claimed on first use."""
        if name not in self.ports:
            self.ports[name] = self._new_port()
        return self.ports[name]

    def fill(self, text: str, *, place: str | None = None) -> str:
        """`text` with its placeholders filled. Raises UsageError for one that does not exist; `place` is where it stands."""

        def value(match: re.Match[str]) -> str:
            name, argument = match["name"], match["argument"]
            if name is None:
                return match[0]
            if name == "port" and argument is not None:
                return str(self.port(argument))
            if name == "webhook" and argument is not None:
                return self._webhook(match[0], argument, place)
            if name in self._values and argument is None:
                return self._values[name]
            if argument is not None and name != "port" and not _near(name, [*self._values, "port", "webhook"]):
                return match[0]  # `{image:tag}` and the like: not one of ours
            raise UsageError(f"unknown placeholder {match[0]}", place=place, remedy=self._hint(name, argument))

        return _PLACEHOLDER.sub(value, text)

    def fill_command(self, command: Sequence[str], *, place: str | None = None) -> list[str]:
        """Each word of a command filled."""
        return [self.fill(word, place=place) for word in command]

    def fill_env(self, env: Mapping[str, str], *, place: str | None = None) -> dict[str, str]:
        """Each value of the scenario's own variables filled; never pass the harness's own environment through it."""
        return {key: self.fill(value, place=place) for key, value in env.items()}

    def _webhook(self, text: str, argument: str, place: str | None) -> str:
        if argument in self.webhook:
            return self.webhook[argument]
        known = ", ".join(f"{{webhook:{key}}}" for key in self.webhook)
        remedy = f"there are {known}" if known else "set subject.webhooks"
        raise UsageError(f"unknown placeholder {text}", place=place, remedy=remedy)

    def _hint(self, name: str, argument: str | None) -> str:
        known = {**{key: f"{{{key}}}" for key in self._values}, "port": f"{{port:{argument or 'NAME'}}}"}
        if argument is not None:
            known["webhook"] = f"{{webhook:{argument}}}"
        near = _near(name, list(known))
        if near:
            return f"did you mean {known[near[0]]}?"
        return f"there are {', '.join(known.values())}"


def _near(name: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
