"""A scenario's own kinds: known while it is read, named in full."""

from __future__ import annotations

import pytest

from harness.core import kinds, metrics
from harness.core.kinds import Kind

WIDGET = Kind("example.com", "v1", "Widget", "widgets", namespaced=True)
BUNDLE = Kind("example.com", "v1", "Bundle", "bundles", namespaced=True)


def test_an_own_kind_is_known_only_while_its_scenario_is_read() -> None:
    with kinds.knowing([WIDGET]):
        assert kinds.find("Widget") == kinds.find("Widget.example.com") == WIDGET
        with pytest.raises(ValueError, match=r"unknown kind 'Wodget'; did you mean Widget\?"):
            kinds.find("Wodget")
    with pytest.raises(ValueError, match="unknown kind 'Widget'"):
        kinds.find("Widget")


def test_an_own_kind_does_not_take_the_name_of_another() -> None:
    assert (WIDGET.alias, BUNDLE.alias, kinds.find("Bundle").alias) == (
        "Widget.example.com",
        "Bundle.example.com",
        "Bundle",
    )
    with (
        kinds.knowing([BUNDLE]),
        pytest.raises(ValueError, match=r"ambiguous; write Bundle\.fleet\.cattle\.io or Bundle\.example\.com"),
    ):
        kinds.find("Bundle")


def test_metric_names_hold_own_kinds() -> None:
    name = "completeness.Widget.my-group.example.com"
    assert metrics.resolve(name).kind == "Widget.my-group.example.com", "a record is read without its manifests"
    with kinds.knowing([WIDGET]):
        assert metrics.resolve("api.create.Widget.p99").kind == "Widget.example.com"
        with pytest.raises(ValueError, match="unknown kind"):
            metrics.resolve(name)
    for wrong in ("completeness.Widget", "completeness.Sekret", "completeness.Widget.com"):
        with pytest.raises(ValueError, match="unknown kind"):
            metrics.resolve(wrong)


def test_resources_of_own_groups_are_named() -> None:
    assert kinds.of_resource("example.com", "widgets") is None
    assert kinds.of_resource("example.com", "widgets", [WIDGET]) == WIDGET
    assert kinds.is_own(WIDGET)
    assert not kinds.is_own(kinds.find("Secret"))
