"""Writing status: JSON merge patches, always or only where something changes.

The optimisation of SEEDS.md row 2: with `always` each write is sent, though it be empty, as controllers do that patch
without comparing; with `changed` it is compared first, and one that would change nothing is not sent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from harness.controllers.runtime.client import Api, ApiError, ObjectGoneError
from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.resources import Object, is_newer, key_of, name_of, namespace_of, version_of


class StatusPatch(StrEnum):
    """Values of the switch `status_patch`."""

    ALWAYS = "always"
    CHANGED = "changed"


def merge_diff(old: Object, new: Object) -> Object:
    """The JSON merge patch that makes `new` of `old`: nested objects key by key, anything else (lists too) as a whole."""
    patch: Object = {}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            if inner := merge_diff(old[key], value):
                patch[key] = inner
        elif value != old[key]:
            patch[key] = value
    patch.update({key: None for key in old if key not in new})
    return patch


class StatusWriter:
    """Patches the status of the objects of one informer.

    The store lags behind what was written. To compare with it would send again what is there already, so the answers to
    our own writes are kept until the store has caught up with them (client-go calls this a mutation cache).
    """

    def __init__(self, api: Api, informer: Informer, mode: StatusPatch) -> None:
        self._api, self._informer, self._mode = api, informer, mode
        self._written: dict[str, Object] = {}
        informer.on_event(self._caught_up)

    def latest(self, obj: Object) -> Object:
        """`obj`, or what the store or we ourselves have of it that is newer."""
        key = key_of(obj)
        for other in (self._informer.store.get(key), self._written.get(key)):
            obj = self._newer(other, obj) or obj
        return obj

    async def write(self, obj: Object, fields: Object) -> Object:
        """Set top-level `fields` of the status (None removes one); the object afterwards.

        Raises ObjectGoneError where it has been deleted, else as `Api.get`.
        """
        obj = self.latest(obj)
        before: Object = obj.get("status") or {}
        after = {key: value for key, value in {**before, **fields}.items() if value is not None}
        difference = merge_diff(before, after)
        if not difference and self._mode is StatusPatch.CHANGED:
            return obj
        path = self._informer.resource.path(namespace_of(obj), name_of(obj), "status")
        try:
            answer = await self._api.merge_patch(path, {"status": difference} if difference else {})
        except ApiError as error:
            if error.status == 404:
                raise ObjectGoneError(path) from error
            raise
        cached = self._informer.store.get(key_of(answer))
        if cached is not None and self._newer(answer, cached):
            self._written[key_of(answer)] = answer
        return answer

    @staticmethod
    def _newer(left: Object | None, right: Object) -> Object | None:
        if left is None or left["metadata"]["uid"] != right["metadata"]["uid"]:
            return None
        return left if is_newer(version_of(left), version_of(right)) else None

    def _caught_up(self, event: Event) -> None:
        key = key_of(event.obj)
        written = self._written.get(key)
        if written is not None and (event.new is None or not self._newer(written, event.new)):
            del self._written[key]


def condition(status: Object, type_: str, *, met: bool, reason: str = "", message: str = "", now: str) -> list[Any]:
    """The conditions of `status` with `type_` set. `now` stamps it only where it differs from what is there."""
    conditions: list[Any] = list(status.get("conditions") or [])
    wanted: Object = {"type": type_, "status": "True" if met else "False"}
    wanted |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
    for index, present in enumerate(conditions):
        if present.get("type") == type_:
            if {key: value for key, value in present.items() if key != "lastUpdateTime"} != wanted:
                conditions[index] = wanted | {"lastUpdateTime": now}
            return conditions
    return [*conditions, wanted | {"lastUpdateTime": now}]


def is_true(obj: Object, type_: str) -> bool:
    """Whether the condition `type_` of `obj` is met."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(item.get("type") == type_ and item.get("status") == "True" for item in conditions)
