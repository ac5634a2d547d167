"""The load generator: a Locust process of its own that carries out a plan against a Kubernetes API.

`python -m loadgen PLAN.json`; the borders (plan, commands on stdin, facts on stdout) are in docs/architecture.md.
Nothing here imports `harness`: gevent's monkey patches and asyncio do not mix in one process.

`plan`, `fields`, `templates`, `builders`, `actions`, `schedule` and `verdicts` are plain Python and may be imported anywhere. The
rest needs gevent and runs only in the load generator's own process.
"""
