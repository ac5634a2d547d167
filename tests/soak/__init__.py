"""Does the harness stay as it is over hours? `recorder` drives what records a run, faster than time, and may be given a leak."""
