"""Every target, by name."""

from __future__ import annotations

from tests.fuzz import targets_cli, targets_files, targets_record, targets_scenario, targets_subject, targets_words
from tests.fuzz.property import Target

_MODULES = (targets_words, targets_scenario, targets_subject, targets_files, targets_record, targets_cli)
TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
