"""The witnesses: one file per collector. Each only records facts; verdicts are made later, from the record alone."""
