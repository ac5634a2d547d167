"""Typed reading of decoded JSON, with errors that name the field.

Both the plan and the parameters of its phases go through this, so that a wrong plan is one clear line and nothing is
sent to the API before all of it is known to be right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


class PlanError(Exception):
    """The plan cannot be carried out as written. The text is one line that names the field."""


class Fields:
    """One JSON object being read; `place` is its path in the plan, such as `phases[2].params`.

    Every reader raises PlanError. `done()` rejects what nobody asked for: a misspelt key must not be ignored.
    """

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise PlanError(f"{place}: must be an object, not {_kind(value)}")
        self._values: dict[str, object] = value
        self._asked: set[str] = set()
        self.place = place

    def error(self, key: str, text: str) -> PlanError:
        """A PlanError placed at `key`."""
        return PlanError(f"{self.place}.{key}: {text}")

    def raw(self, key: str) -> object:
        """The value of a required key, unchecked."""
        self._asked.add(key)
        if key not in self._values:
            raise self.error(key, "is missing")
        return self._values[key]

    def optional(self, key: str, default: object = None) -> object:
        """The value of a key that may be absent, unchecked."""
        self._asked.add(key)
        return self._values.get(key, default)

    def text(self, key: str) -> str:
        """A non-empty string."""
        value = self.raw(key)
        if not isinstance(value, str) or not value:
            raise self.error(key, f"must be a non-empty string, not {_kind(value)}")
        return value

    def text_or_none(self, key: str) -> str | None:
        """A non-empty string; None where the key is absent or null."""
        return None if self.optional(key) is None else self.text(key)

    def flag(self, key: str) -> bool:
        """A boolean."""
        value = self.raw(key)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_kind(value)}")
        return value

    def integer(self, key: str, *, minimum: int) -> int:
        """A whole number, `minimum` or more."""
        value = self.raw(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"must be a whole number, not {_kind(value)}")
        if value < minimum:
            raise self.error(key, f"must be at least {minimum}, is {value}")
        return value

    def positive(self, key: str) -> float:
        """A finite number above zero."""
        value = self.raw(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, f"must be a number, not {_kind(value)}")
        if not math.isfinite(value) or value <= 0:
            raise self.error(key, f"must be above 0, is {value}")
        return float(value)

    def positive_or_zero(self, key: str) -> float:
        """A finite number, 0 or more."""
        return 0.0 if self.raw(key) == 0 else self.positive(key)

    def positives(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers above zero, one at least."""
        value = self.raw(key)
        items = value if isinstance(value, list) else []
        numbers = [item for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
        if not items or len(numbers) != len(items) or not all(math.isfinite(item) and item > 0 for item in numbers):
            raise self.error(key, "must be a list of numbers above 0")
        return tuple(float(item) for item in numbers)

    def labels(self, key: str, *, required: bool = True) -> Mapping[str, str]:
        """A mapping of strings to strings; empty where absent and not required."""
        value = self.raw(key) if required else self.optional(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self.error(key, "must map strings to strings")
        if required and not value:
            raise self.error(key, "must not be empty")
        return value

    def indexes(self, key: str, count: int) -> frozenset[int]:
        """A list of distinct object indexes in [0, count); empty where absent."""
        value = self.optional(key, [])
        if not isinstance(value, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in value):
            raise self.error(key, "must be a list of object indexes")
        if any(not 0 <= i < count for i in value) or len(set(value)) != len(value):
            raise self.error(key, f"must hold distinct indexes from 0 to {count - 1}")
        return frozenset(value)

    def ranges(self, key: str, count: int) -> list[tuple[int, int]]:
        """A list of `[first, end]` within [0, count), ascending, none empty."""
        value = self.raw(key)
        items = value if isinstance(value, list) else [None]
        found: list[tuple[int, int]] = []
        for item in items:
            pair = item if isinstance(item, list) and len(item) == 2 else [0, 0]
            first, end = (number if type(number) is int else 0 for number in pair)
            if not (found[-1][1] if found else 0) <= first < end <= count:
                raise self.error(key, f"must be ascending ranges [first, end] within 0 to {count}")
            found.append((first, end))
        return found

    def size_range(self, key: str) -> tuple[int, int]:
        """Bytes, as `[min, max]` or one number for both."""
        value = self.raw(key)
        ends = value if isinstance(value, list) else [value, value]
        sizes = [end for end in ends if isinstance(end, int) and not isinstance(end, bool)]
        if len(ends) != 2 or len(sizes) != 2:
            raise self.error(key, "must be a number of bytes or [min, max]")
        low, high = sizes
        if not 0 <= low <= high:
            raise self.error(key, f"must be [min, max] with 0 <= min <= max, is {ends}")
        return low, high

    def done(self) -> None:
        """Reject keys that no reader has asked for."""
        unknown = sorted(set(self._values) - self._asked)
        if unknown:
            raise PlanError(f"{self.place}: unknown key {unknown[0]!r}; known are {', '.join(sorted(self._asked))}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
