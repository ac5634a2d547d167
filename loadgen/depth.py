"""Whether a YAML text is nested deeper than any object of the API: libyaml builds values recursively, in C, and dies of it."""

from __future__ import annotations

import yaml

DEEPEST = 200
"""A CRD's schema is at about thirty."""
_OPENERS = "[{-:?"
"""Nothing nests without one of these."""


def too_deep(text: str | bytes) -> bool:
    """Whether it is. Raises yaml.YAMLError where it is no YAML. Of most objects a count is enough."""
    counted = text if isinstance(text, str) else text.decode("latin-1")
    if sum(map(counted.count, _OPENERS)) <= DEEPEST:
        return False
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):  # events do not recurse
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return True
    return False
