"""What our code never does, asked of its syntax trees; and what a template can never reach."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import harness
import loadgen
from harness.core.paths import data_dir
from loadgen.templates import ObjectTemplate, TemplateFault

_ROOTS = [Path(str(package.__file__)).parent for package in (harness, loadgen)]
_LOADERS = {"yaml.CSafeLoader", "yaml.SafeLoader", "_Loader", "_LOADER"}
"""`_Loader` is a CSafeLoader of loadgen/templates.py, `_LOADER` the one or the other in controllers/fleet/agent.py."""
_LOADING = {"load", "load_all", "parse", "compose", "compose_all", "scan"}
_NEVER = {
    "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads", "shelve.open",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all", "jinja2.Template", "jinja2.Environment",
    "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp", "ssl._create_unverified_context",
}  # fmt: skip
_ALLOWED = {
    ("agent/attached.py", "exec"),  # what is brought into a process is our own file
    ("collectors/attach/injection.py", "compile"),
    # Pages: autoescape, asserted below.
    ("report/html.py", "jinja2.Environment"), ("report/oom.py", "jinja2.Environment"), ("web/pages.py", "jinja2.Environment"),
}  # fmt: skip


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    for root in _ROOTS:
        for path in sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield str(path.relative_to(root)), _name(node.func), node


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def test_yaml_is_read_by_safe_loaders_only() -> None:
    seen = 0
    for path, name, call in _calls():
        module, _, function = name.rpartition(".")
        if module == "yaml" and function in _LOADING:
            loader = _keyword(call, "Loader")
            assert loader is not None, path
            assert _name(loader) in _LOADERS, path
            seen += 1
    assert seen >= 6, "the walk above sees nothing"


def test_nothing_turns_text_into_code_or_a_shell_command() -> None:
    found = set()
    for path, name, call in _calls():
        if name in _NEVER and (path, name) not in _ALLOWED:
            found.add((path, call.lineno, name))
        shell = _keyword(call, "shell")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            found.add((path, call.lineno, "shell="))
    assert found == set()


def test_pages_escape_by_themselves() -> None:
    for path, name, call in _calls():
        if name == "jinja2.Environment":
            escape = _keyword(call, "autoescape")
            assert isinstance(escape, ast.Constant), path
            assert escape.value is True, path


def test_servers_listen_on_loopback_only() -> None:
    """Each place that listens on TCP says 127.0.0.1, or has its address from a reference controller's command line."""
    found = {}
    for path, name, call in _calls():
        if name.endswith(("TCPSite", "asyncio.start_server", "create_server")):
            host = call.args[1] if len(call.args) > 1 else None
            found[path] = (
                host.value if isinstance(host, ast.Constant) else ast.unparse(host) if host is not None else None
            )
    assert found == {
        "collectors/attach/session.py": "127.0.0.1",
        "collectors/ingest.py": "127.0.0.1",
        "controllers/kserve/webhook.py": "self._host",
        "controllers/runtime/server.py": "*self._address",
        "controllers/runtime/shards.py": "*address",
        "kube/portforward.py": "127.0.0.1",
        "web/server.py": "HOST",
    }


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__.__mro__[1].__subclasses__()",
        "cycler.__init__.__globals__.os.popen('touch {marker}').read()",
        "lipsum.__globals__['os'].system('touch {marker}')",
        "self.__init__.__globals__",
        "self._TemplateReference__context.vars",
        "b64.__globals__['base64']",
        "rand_bytes.__closure__[0].cell_contents",
        "rand_bytes.__globals__",
        "range.__globals__",
        "i | attr('__class__')",
        "'{0.__class__.__mro__}'.format(b64)",
        "'{x.__globals__}'.format_map({'x': b64})",
        "namespace.__class__.__base__",
        "params.__class__.__init__.__globals__",
        "(params | map(attribute='__class__') | list)[0].__mro__",
        "dict(a=1).__class__",
        "joiner.__init__",
        "(1).__class__",
        "none.__class__.__subclasses__()",
        "url_for.__globals__",
        "params.update({'n': 4})",
        "params.clear()",
    ],
)
def test_a_template_reaches_no_python(expression: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    text = "apiVersion: v1\nkind: Secret\nx: '{{ " + expression.replace("{marker}", str(marker)) + " }}'\n"
    variables = {"run_id": "r", "tail": "t", "namespace": "n", "params": {"n": 3}}
    with pytest.raises(TemplateFault):
        ObjectTemplate("t.yaml", text).render(0, variables, random.Random(1))
    assert not marker.exists()


def test_what_a_filter_finds_behind_a_function_is_undefined() -> None:
    text = "apiVersion: v1\nkind: Secret\nx: '{{ [b64] | map('attr', '__globals__') | list | string | replace(\"'\", '') }}'\n"
    assert ObjectTemplate("t.yaml", text).render(0, {}, random.Random(1))["x"] == "[Undefined]"


@pytest.mark.parametrize(
    "statement",
    ["{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}", "{% from 'x' import y %}"],
)
def test_a_template_reads_no_other_file(statement: str) -> None:
    with pytest.raises(TemplateFault):
        ObjectTemplate("t.yaml", f"{statement}\n").render(0, {}, random.Random(1))


_WRITES_SECRETS = {"loadgen", "fleet"}
"""The load makes them; `fleet` keeps manifests in its own where `manifest=secret` says so."""


def test_roles_name_what_they_allow() -> None:
    manifests = data_dir("manifests")
    files = [*(manifests / "rbac").glob("*.yaml"), *manifests.glob("base/**/role.yaml")]
    roles = [
        (path, rule)
        for path in sorted(files)
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] in ("Role", "ClusterRole")
        for rule in document["rules"]
    ]
    assert len({path for path, _ in roles}) >= 9
    for path, rule in roles:
        said = {word for part in ("verbs", "resources", "apiGroups", "nonResourceURLs") for word in rule.get(part, ())}
        never = {
            "*",
            "escalate",
            "bind",
            "impersonate",
            "deletecollection",
            "pods/exec",
            "nodes",
            "nodes/proxy",
            "roles",
        }
        assert not said & never, path
        if path.parent.name == "rbac":  # the harness itself makes the run's
            assert "clusterroles" not in said, path
        if "secrets" in rule.get("resources", ()) and path.stem not in _WRITES_SECRETS:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, path
