"""The controller under test as a thing that runs: its process, its memory limit, how it ended."""
