"""Bad input to every parser: `python -m tests.fuzz` (`make fuzz`). docs/reliability of input: docs/security.md#bad-input.

The property: a result, or the project's own error in one line; no other exception, no hang, no unbounded memory.
"""
