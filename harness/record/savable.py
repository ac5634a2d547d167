"""What all results are made of: models that can always be written to a file, whatever text they are given."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class SavableModel(BaseModel):
    """Unknown keys are errors. Text that no file can hold is kept as its escape.

    Names come from command lines, coroutines and file names, in which Python keeps bytes that are no UTF-8 as lone
    surrogates; JSON has no way to write one.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _writable(cls, value: Any) -> Any:  # noqa: ANN401 # of every field
        return savable(value)


def savable(value: Any) -> Any:  # noqa: ANN401 # whatever a field is given
    """The value, in plain texts, lists and mappings with each lone surrogate as its escape (`\\ud800`)."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return [savable(item) for item in value]
        case dict():
            return {savable(key): savable(item) for key, item in value.items()}
    return value
