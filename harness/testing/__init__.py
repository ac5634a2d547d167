"""For tests of controllers: runs from Python (`run`), what came of them (`results`), and the pytest plugin."""
