"""Writes the shipped JSON Schema of scenario files again."""

from harness.scenario.schema import SCHEMA_PATH, text

if __name__ == "__main__":
    SCHEMA_PATH.write_text(text(), encoding="utf-8")
