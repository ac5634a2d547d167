"""Writing status: JSON merge patches, always or only where something changes.

The optimisation of docs/claims.md row 2: with `always` each write is sent, though it be empty, as controllers do that patch
without comparing; with `changed` it is compared first, and one that would change nothing is not sent.
"""

from __future__ import annotations

import asyncio
import random
from enum import StrEnum
from typing import Any, Protocol

from harness.controllers.runtime.client import Api, ApiError, ConflictError, ObjectGoneError
from harness.controllers.runtime.informer import Event, Handler
from harness.controllers.runtime.resources import Object, Resource, is_newer, key_of, name_of, namespace_of, version_of

TRIES = 5
RETRY_S = 0.01
"""client-go's `retry.DefaultRetry`: tries of one write, and the time between two."""


class StatusPatch(StrEnum):
    """Values of the switch `status_patch`."""

    ALWAYS = "always"
    CHANGED = "changed"


class Conflict(StrEnum):
    """Values of the switch `conflict`: what follows when somebody else wrote the object since it was read.

    `retry` reads it again and writes again, holding the worker meanwhile; `requeue` ends the reconcile, and its key comes back
    with the queue's back-off, when the watch has probably brought what was written.
    """

    RETRY = "retry"
    REQUEUE = "requeue"


class Kept(Protocol):
    """What is kept of a kind: an `Informer`, or a `Cache`."""

    resource: Resource

    def on_event(self, handler: Handler) -> None:
        """Call `handler` with each change."""

    def kept(self, key: str) -> Object | None:
        """The whole object, if it is in memory."""

    def learn(self, obj: Object) -> None:
        """`obj` is the answer to a write of ours."""


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
    """Patches the status of the objects of one informer or cache.

    The store lags behind what was written. To compare with it would send again what is there already, so the answers to
    our own writes are kept until the store has caught up with them (client-go calls this a mutation cache).

    With `conflict` a write holds only for the resourceVersion that it was made for (optimistic locking); the API server
    refuses it with 409 where somebody else has written in between. Without, the last one wins.
    """

    def __init__(self, api: Api, objects: Kept, mode: StatusPatch, conflict: Conflict | None = None) -> None:
        self._api, self._objects, self._mode, self._conflict = api, objects, mode, conflict
        self._written: dict[str, Object] = {}
        objects.on_event(self._caught_up)

    def latest(self, obj: Object) -> Object:
        """`obj`, or what the store or we ourselves have of it that is newer."""
        key = key_of(obj)
        for other in (self._objects.kept(key), self._written.get(key)):
            obj = self._newer(other, obj) or obj
        return obj

    async def write(self, obj: Object, fields: Object) -> Object:
        """Set top-level `fields` of the status (None removes one); the object afterwards.

        Raises ObjectGoneError where it has been deleted, ConflictError where it must be tried again later, else as `Api.get`.
        """
        obj = self.latest(obj)
        for tries_left in reversed(range(TRIES)):
            difference = _difference(obj, fields)
            if not difference and self._mode is StatusPatch.CHANGED:
                return obj
            try:
                return await self._send(obj, difference)
            except ApiError as error:
                if error.status != 409 or self._conflict is None:
                    raise
                if self._conflict is Conflict.REQUEUE or not tries_left:
                    raise ConflictError(str(error)) from error
            await asyncio.sleep(RETRY_S * random.uniform(1.0, 1.1))  # noqa: S311 - jitter, nothing secret
            obj = await self._read(obj)
        raise AssertionError  # the last try returns or raises

    async def _send(self, obj: Object, difference: Object) -> Object:
        patch: Object = {"status": difference} if difference else {}
        if self._conflict is not None:
            patch["metadata"] = {"resourceVersion": version_of(obj)}
        path = self._objects.resource.path(namespace_of(obj), name_of(obj), "status")
        try:
            answer = await self._api.merge_patch(path, patch)
        except ApiError as error:
            if error.status == 404:
                raise ObjectGoneError(path) from error
            raise
        cached = self._objects.kept(key_of(answer))
        if cached is not None and self._newer(answer, cached):
            self._written[key_of(answer)] = answer
        self._objects.learn(answer)
        return answer

    async def _read(self, obj: Object) -> Object:
        path = self._objects.resource.path(namespace_of(obj), name_of(obj))
        try:
            fresh = await self._api.get(path)
        except ApiError as error:
            if error.status == 404:
                raise ObjectGoneError(path) from error
            raise
        if fresh["metadata"]["uid"] != obj["metadata"]["uid"]:
            raise ObjectGoneError(path)
        return fresh

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


def _difference(obj: Object, fields: Object) -> Object:
    before: Object = obj.get("status") or {}
    return merge_diff(before, {key: value for key, value in {**before, **fields}.items() if value is not None})


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
