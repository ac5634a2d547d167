"""What a run is asked to do: scenario files, their values filled in, what must exist afterwards, the plan of the load.

Nothing is imported here, so that naming the package costs nothing. The public names, by submodule:

- `load`: `load(name_or_path) -> ScenarioFile`, `shipped() -> list[str]`; every error is a `ScenarioError`.
- `resolve`: `resolve(file, *, profile=None, sets={}, arm=None) -> Scenario`.
- `model`: `Scenario`, its steps `Create`, `Settle`, `Flip`, and `Subject`; `expectation`: `Expectation`.
- `names`: `phases(scenario)`, the phases of a run by name, and the names of the objects.
- `fanout`: `expected`, `probes`, `scenario_kinds`: what must exist, from the scenario alone.
- `manifests`, `templates`: the files beside a scenario, read with it; `rights`: what its own kinds ask for.
- `plan`: `build_plan(scenario, ...)`, the load generator's `plan.json`.
- `schema`: the JSON Schema of scenario files; `python -m harness.scenario.schema` writes it again.
"""
