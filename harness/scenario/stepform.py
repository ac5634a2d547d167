"""What all steps of a load share: their form in a file, and the fields that say how fast their requests begin."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PrivateAttr, SerializerFunctionWrapHandler, model_serializer

from harness.core.kinds import Kind, find
from harness.scenario.fields import KindName, LabelKey, LabelValue, Model

Labels = dict[LabelKey, LabelValue]
PARALLEL = Field(default=64, description="requests under way at most")
PACE = Field(default=None, description="requests begun per second, or `max`", json_schema_extra={"default": "max"})
TIMEOUT = Field(default=600.0, description="how long the step may take", json_schema_extra={"default": "10m"})


class OfAKind(Model):
    """Something with a `kind`, which is looked up once: a scenario's own kinds are known only while it is read."""

    kind: KindName
    _resource: Kind = PrivateAttr()

    def model_post_init(self, _context: object) -> None:
        """Keep the kind itself."""
        self._resource = find(self.kind)

    @property
    def resource(self) -> Kind:
        """The kind that `kind` names."""
        return self._resource


class StepForm(Model):
    """Flat in Python; in a file a mapping with the action as its key."""

    lifted: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the action in a file, not under it."""
    alone: ClassVar[str | None] = None
    """The one field that stands directly at the action's key: `pause: 5s`."""

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        inner = dict(handler(self))
        action = inner.pop("action")
        beside = {key: inner.pop(key) for key in self.lifted}
        return {action: inner if self.alone is None else inner[self.alone], **beside}
