"""From a scenario file to the scenario of one run: values chosen, placeholders filled, all of it checked.

A value comes from the file's `params`, over that from the profile, over that from the arm's `set`, over that from `--set`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TypeVar, cast

from pydantic import ValidationError

from harness.core import kinds
from harness.core.errors import ScenarioError, UsageError
from harness.scenario import manifests, profiling, templates
from harness.scenario.checks import check
from harness.scenario.document import Path, Plain, parse_value
from harness.scenario.file import BODY, OPTION_PREFIX, ScenarioFile, unknown_setting
from harness.scenario.hints import shown, suggest
from harness.scenario.manifests import Manifests
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.scenario.placeholders import Filled, fill
from harness.scenario.problems import Problem, from_pydantic
from harness.scenario.steps import Create, Flip, Parallel, Step

StepT = TypeVar("StepT")

_RELATIVE = "paths are relative to the scenario file"


@dataclass(slots=True)
class _Origin:
    """Where a value comes from that is not the file's default."""

    words: str
    place: str


@dataclass(slots=True)
class _Draft:
    """A scenario in the making, with what is needed to say where a mistake in it comes from."""

    file: ScenarioFile
    profile: str | None
    arm: str | None
    params: dict[str, Plain]
    body: dict[str, Plain]
    origins: dict[str, _Origin] = field(default_factory=dict)
    """Of parameters."""
    overridden: dict[Path, _Origin] = field(default_factory=dict)
    """Of values set over the body itself: `seed`, `options.NAME`."""

    def put(self, key: str, value: Plain, origin: _Origin) -> None:
        """Set a parameter, a top-level key or an option."""
        if key in self.params:
            self.params[key] = value
            self.origins[key] = origin
            return
        if not key.startswith(OPTION_PREFIX):
            self.body[key] = value
            self.overridden[(key,)] = origin
            return
        subject = self.body.get("subject")
        options = subject.setdefault("options", {}) if isinstance(subject, dict) else None
        if isinstance(options, dict):
            name = key.removeprefix(OPTION_PREFIX)
            options[name] = value
            self.overridden["subject", "options", name] = origin


def resolve(
    file: ScenarioFile, *, profile: str | None = None, sets: Mapping[str, str] | None = None, arm: str | None = None
) -> Scenario:
    """The scenario of one run. Without `arm` it is the file's own, as if it had no arms.

    `sets` are the `--set KEY=VALUE` of the command line, their values still text. Raises ScenarioError (for the file) or
    UsageError (for the choice of profile, arm and values), each one line with its place and remedy.
    """
    draft = _draft(file, profile, arm)
    for key, text in (sets or {}).items():
        if wrong := unknown_setting(key, file.head):
            raise UsageError(wrong[0], place=f"--set {key}={text}", remedy=wrong[1])
        place = f"--set {key}={text}"
        draft.put(key, parse_value(text, place), _Origin("by --set", place))
    return _finish(draft)


def _draft(file: ScenarioFile, profile: str | None, arm: str | None) -> _Draft:
    head = file.head
    for chosen, known, what in ((profile, file.profiles, "profile"), (arm, file.arms, "arm")):
        if chosen is not None and chosen not in known:
            remedy = suggest(chosen, known, title=f"its {what}s")
            raise UsageError(f"scenario {file.name} has no {what} {chosen!r}", remedy=remedy)
    data = copy.deepcopy(file.document.data)
    body = {key: data[key] for key in ("seed", *BODY) if key in data}
    draft = _Draft(file, profile, arm, cast("dict[str, Plain]", copy.deepcopy(head.params)), body)
    layers: list[tuple[str, Path, Mapping[str, object]]] = []
    if profile is not None:
        layers.append((f"from profile {profile}", ("profiles", profile), head.profiles[profile]))
    if arm is not None:
        draft.body.pop("gate", None)  # gates compare the scenario itself; an arm may leave out what it measures
        layers.append((f"from arm {arm}", ("arms", arm, "set"), head.arms[arm].set))
        for key in ("expect", "engaged"):
            replacement = getattr(head.arms[arm], key)
            if replacement is not None:
                draft.body[key] = copy.deepcopy(replacement)
    for words, path, values in layers:
        for key, value in values.items():
            line, _ = file.document.position((*path, key))
            draft.put(key, cast("Plain", value), _Origin(f"{words}, line {line}", file.document.place((*path, key))))
    own = _entries(draft.body.get("setup"))
    if file.apply and own is not None:
        draft.body["setup"] = {"apply": [*own, *map(str, file.apply)]}
        for number in range(len(own), len(own) + len(file.apply)):
            draft.overridden["setup", "apply", number] = _Origin("by --apply", "--apply")
    return draft


def _finish(draft: _Draft) -> Scenario:
    filled = fill(draft.body, draft.params)
    if filled.problems:
        raise _error(draft, filled, filled.problems)
    assert isinstance(filled.data, dict)
    head = draft.file.head
    whole = {"name": head.name, "summary": head.summary, "params": draft.params, **filled.data}
    if profiling.KEY in whole:
        whole[profiling.FIELD] = whole.pop(profiling.KEY)
    beside = _beside(draft, filled, filled.data)
    try:
        scenario = Scenario.model_validate({**whole, **beside, "profile": draft.profile, "arm": draft.arm})
    except ValidationError as error:
        raise _error(draft, filled, from_pydantic(error)) from None
    written = scenario.load
    kept = [(i, _filled_members(step)) for i, step in enumerate(written) if _filled_members(step)]
    scenario = scenario.model_copy(update={"load": [_reduced(written[i], members) for i, members in kept]})
    if problems := check(scenario):
        raise _error(draft, filled, [_in_file(problem, kept, written) for problem in problems])
    _last_objects(draft, scenario)
    return scenario


def _beside(draft: _Draft, filled: Filled, data: dict[str, Plain]) -> dict[str, object]:
    """What files beside the scenario add to it: kinds of its own, texts of templates, and the kinds these give."""
    base, shown_base = draft.file.path.parent, FilePath(draft.file.document.display).parent
    own = Manifests()
    entries = _entries(data.get("setup"))
    if entries is None:
        return {}
    for number, entry in enumerate(entries):
        try:
            manifests.read(base, entry, str(shown_base), own)
        except manifests.Unusable as error:
            problem = Problem(("setup", "apply", number), f"{entry}: {error}", _RELATIVE)
            raise _error(draft, filled, [problem]) from None
    texts: dict[str, str] = {}
    with kinds.knowing(own.kinds):
        for at_step, create in templates.template_steps(data.get("load")):
            path = str(create["template"])
            at = (*at_step, "create", "template")
            try:
                texts[path] = templates.text_of(base / path)
            except templates.Unreadable as error:
                raise _error(draft, filled, [Problem(at, f"{path}: {error}", _RELATIVE)]) from None
            kind = templates.check(str(shown_base / path), texts[path], draft.params, _seed(data), 0)
            if create.setdefault("kind", kind.alias) not in (kind.kind, kind.alias, kind.full_name):
                cause = f"{path} renders to {kind.alias}, not to {create['kind']}"
                raise _error(draft, filled, [Problem((*at[:-1], "kind"), cause, "remove kind: the template gives it")])
    return {
        "own_kinds": [dataclasses.asdict(kind) for kind in own.kinds],
        "setup_files": own.digests,
        "templates": texts,
    }


def _entries(setup: Plain) -> list[str] | None:
    """The paths of a setup; None where it is not well-formed, which the model is then to say."""
    if setup is None:
        return []
    entries = setup.get("apply") if isinstance(setup, dict) else None
    if not isinstance(entries, list) or not entries:
        return None
    paths = [entry for entry in entries if isinstance(entry, str) and entry]
    return paths if len(paths) == len(entries) else None


def _last_objects(draft: _Draft, scenario: Scenario) -> None:
    """Render the last object of each template too: an index may lead where the first does not."""
    with kinds.knowing(scenario.kinds):
        for step in (phase.step for phase in phases(scenario)):
            if isinstance(step, Create) and step.template is not None and step.count > 1:
                display = str(FilePath(draft.file.document.display).parent / step.template)
                text = scenario.templates[step.template]
                templates.check(display, text, scenario.params, scenario.seed, step.count - 1)


def _seed(data: dict[str, Plain]) -> int:
    seed = data.get("seed")
    return seed if isinstance(seed, int) else 1


def _filled_members(step: Step) -> list[int]:
    """Which of parallel steps do something, by number; of a single step [0] or nothing."""
    steps = step.steps if isinstance(step, Parallel) else [step]
    return [
        i for i, each in enumerate(steps) if getattr(each, "count", None) != 0 and getattr(each, "watchers", None) != 0
    ]


def _reduced(step: Step, members: list[int]) -> Step:
    """The step as it is carried out: only those of parallel steps that do something, short forms written out."""
    if isinstance(step, Parallel):
        return step.model_copy(update={"steps": [_plain(step.steps[i]) for i in members]})
    return _plain(step)


def _plain(step: StepT) -> StepT:
    if not isinstance(step, Create | Flip):
        return step
    probes = [step.probes[i] for i in _wanted(step)]
    kept = step if len(probes) == len(step.probes) else step.model_copy(update={"probes": probes})
    return cast("StepT", kept.plain() if isinstance(kept, Create) else kept)


def _wanted(step: Create | Flip) -> list[int]:
    """Which of its probes are not dropped, by number."""
    return [i for i, probe in enumerate(step.probes) if probe.when]


def _in_file(problem: Problem, kept: list[tuple[int, list[int]]], written: list[Step]) -> Problem:
    """The same problem at the step's place in the file, before empty steps and unwanted probes were dropped."""
    path = problem.path
    if path[:1] == ("load",) and len(path) > 1 and isinstance(path[1], int):
        place, members = kept[path[1]]
        step, rest = written[place], path[2:]
        head: Path = ("load", place)
        if isinstance(step, Parallel) and rest[:1] == ("parallel",) and isinstance(rest[1], int):
            number = members[rest[1]]
            step, head, rest = step.steps[number], (*head, "parallel", number), rest[2:]
        if isinstance(step, Create | Flip) and rest[:1] == ("probes",) and isinstance(rest[1], int):
            rest = ("probes", _wanted(step)[rest[1]], *rest[2:])
        path = (*head, *rest)
    return Problem(path, problem.cause, problem.remedy, problem.at_key)


def _as_written(problem: Problem) -> Problem:
    """The same problem where the file calls its key otherwise than the model."""
    if problem.path[:1] != (profiling.FIELD,):
        return problem
    return Problem((profiling.KEY, *problem.path[1:]), problem.cause, problem.remedy, problem.at_key)


def _error(draft: _Draft, filled: Filled, problems: list[Problem]) -> ScenarioError:
    """The first problem in the file's order, with what made the value what it is."""
    document = draft.file.document
    problems = [_as_written(problem) for problem in problems]
    problem = min(problems, key=lambda each: document.position(_relocated(draft, each.path), key=each.at_key))
    for path, origin in draft.overridden.items():
        if problem.path[: len(path)] == path:
            return ScenarioError(problem.cause, place=origin.place, remedy=problem.remedy)
    notes = [
        _note(draft, name) for path, names in filled.used.items() if problem.path[: len(path)] == path for name in names
    ]
    notes += [
        f"{what} {name}"
        for what, name in (("profile", draft.profile), ("arm", draft.arm))
        if name is not None and not any(f"from {what} " in note for note in notes)
    ]
    cause = f"{problem.cause} ({', '.join(notes)})" if notes else problem.cause
    place = document.place(_relocated(draft, problem.path), key=problem.at_key)
    return ScenarioError(cause, place=place, remedy=problem.remedy)


def _note(draft: _Draft, name: str) -> str:
    value = f"{{{name}}} is {shown(draft.params[name])}"
    origin = draft.origins.get(name)
    return f"{value} {origin.words}" if origin else f"{value}, line {draft.file.document.position(('params', name))[0]}"


def _relocated(draft: _Draft, path: Path) -> Path:
    """Where an arm's own expectations stand."""
    if draft.arm is not None and path and path[0] in ("expect", "engaged"):
        arm = draft.file.head.arms[draft.arm]
        if getattr(arm, str(path[0])) is not None:
            return ("arms", draft.arm, *path)
    return path
