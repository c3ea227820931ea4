"""The direction of imports (a table, checked on the syntax tree), and what ``import ttscale`` loads."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ttscale

ROOT = Path(ttscale.__file__).parent
FRONT = "the package's __init__"

FLOORS = (
    "cli",
    "integrations",
    "training",
    "evaluation",
    "testing",
    FRONT,
    "api",
    "reference",
    "hf openai vllm revisers",
    "verifiers",
    "engine strategies viz prompts",
    "core",
    "answers",
)
"""The rooms from the top floor down (docs/architecture.md): each imports from floors below, and from its own room."""
FLOOR = {room: i for i, line in enumerate(FLOORS) for room in ([line] if line == FRONT else line.split())}
FLOOR["__main__"] = FLOOR["cli"] - 1

ONLY: dict[str, set[str]] = {
    "strategies": {"core", "answers"},
    "engine": {"core"},
    "hf": {"core", "prompts"},
    "openai": {"core", "prompts"},
    "vllm": {"core", "prompts"},
    "prompts": {"answers", "core"},
    "reference": {"core", "hf", "prompts", "strategies"},
    "testing": {"answers", "api", "core", "engine", "strategies"},
}
"""Rooms that may not see all that lies below them."""

WAITING = {"asyncio", "concurrent", "multiprocessing", "queue", "select", "signal", "socket", "subprocess", "threading"}
WORLD = WAITING | {"io", "json", "logging", "os", "pathlib", "random", "secrets", "sys", "tempfile", "time", "uuid"}
HEAVY = {"torch", "transformers", "numpy", "scipy", "openai", "matplotlib"}
NEVER: dict[str, set[str]] = {
    # Policies are read from and written to files here, which is no part of a search.
    "strategies/": (WORLD | HEAVY) - {"json", "pathlib"},
    "engine/core.py": WORLD | HEAVY,
    "engine/search_state.py": WORLD | HEAVY,
    "engine/protocol_checks.py": WORLD | HEAVY,
    "core/selection.py": WORLD | HEAVY,
    "core/requests.py": WORLD | HEAVY,
    "core/types.py": WORLD | HEAVY,
    "core/cost.py": WORLD | HEAVY,
}

LIGHT = sorted(set(FLOOR) - {"hf", "openai", "vllm", "integrations", "training", "evaluation", "reference", "testing"})
"""What runs on the standard library alone until a question is asked (a progress bar, the parser of formulas)."""


@cache
def files() -> tuple[tuple[str, str, ast.Module], ...]:
    """(path below the package, area, syntax tree) of every module, parsed once.

    Not while garbage is collected: a finalizer that parses makes CPython 3.11's parser raise SystemError (gh-106905).
    """
    gc.disable()
    try:
        return tuple(
            (path, area_of(path.removesuffix(".py").removesuffix("/__init__").split("/")), ast.parse(file.read_bytes()))
            for file in sorted(ROOT.rglob("*.py"))
            for path in [file.relative_to(ROOT).as_posix()]
        )
    finally:
        gc.enable()


def area_of(parts: list[str]) -> str:
    """The room that a module belongs to."""
    return FRONT if parts == ["__init__"] else parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; those of the package's front as "ttscale"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module != "ttscale":
                yield node.module or ""
                continue
            for alias in node.names:
                module = (ROOT / alias.name).is_dir() or (ROOT / f"{alias.name}.py").is_file()
                yield f"ttscale.{alias.name}" if module else "ttscale"


class _AtTheTop(ast.NodeTransformer):
    """Takes out functions and type-checking blocks."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def at_the_top(tree: ast.Module) -> ast.AST:
    """What importing a file runs. (Changes the tree.)"""
    return _AtTheTop().visit(tree)


def test_every_room_stands_on_a_floor() -> None:
    assert {area for _, area, _ in files()} <= set(FLOOR)
    entries = [entry for entry in ROOT.iterdir() if entry.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 20


def test_a_long_file_says_why_in_its_first_lines() -> None:
    long = {path: (ROOT / path).read_text(encoding="utf-8").splitlines() for path, _, _ in files()}
    assert [
        path for path, lines in long.items() if len(lines) > 300 and "Over 300 lines" not in "\n".join(lines[:12])
    ] == []


@pytest.mark.parametrize("area", FLOOR)
def test_imports_go_down(area: str) -> None:
    for path, own, tree in files():
        if own != area:
            continue
        for module in imported(tree):
            name, *parts = module.split(".")
            if name != "ttscale":
                continue
            assert parts, f"{path} imports the package's front"
            other = area_of(parts)
            below = FLOOR[other] > FLOOR[area] and (area not in ONLY or other in ONLY[area])
            assert other == area or below, f"{path} imports {module}"


def test_no_circle_of_imports() -> None:
    """Every import statement counts, those in functions and for type checkers too; faces that load lazily do not."""
    modules = {path.removesuffix(".py").replace("/", "."): tree for path, _, tree in files()}
    graph: dict[str, set[str]] = {}
    for name, tree in modules.items():
        if name.endswith("__init__"):
            continue
        seen = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                seen |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                seen |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        graph[name] = {module.removeprefix("ttscale.") for module in seen} & set(modules)
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_import_for_type_checkers_alone_but_in_faces() -> None:
    for path, _, tree in files():
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "TYPE_CHECKING" not in names or path.endswith("__init__.py"), path


@pytest.mark.parametrize("place", NEVER)
def test_what_decides_knows_no_clock_no_chance_no_device_and_never_waits(place: str) -> None:
    looked_at = [(path, tree) for path, _, tree in files() if path.startswith(place)]
    assert looked_at
    for path, tree in looked_at:
        assert not {module.partition(".")[0] for module in imported(tree)} & NEVER[place], path


@pytest.mark.parametrize("area", LIGHT)
def test_the_core_begins_with_the_standard_library_alone(area: str) -> None:
    for path, own, tree in files():
        if own == area:
            others = {module.partition(".")[0] for module in imported(at_the_top(tree))} - {"ttscale"}
            assert others <= sys.stdlib_module_names, path


def test_the_check_sees_an_import_wherever_it_stands() -> None:
    """Inside a function, a class, a condition; by name, by alias, from the front."""
    for line, module in [
        ("import torch", "torch"),
        ("import numpy.random as r", "numpy.random"),
        ("from time import sleep", "time"),
        ("from ttscale import solve", "ttscale"),
        ("from ttscale import hf", "ttscale.hf"),
        ("from ttscale.engine import _core", "ttscale.engine"),
    ]:
        for frame in (
            "{}",
            "def f():\n  {}",
            "class C:\n  def f(self):\n    if 1:\n      {}",
            "try:\n  {}\nfinally: 0",
        ):
            assert list(imported(ast.parse(frame.format(line)))) == [module]


# What is loaded, in a process of its own.


DEPENDENCIES = {
    "torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy", "sympy", "mpmath", "math_verify",
    "latex2sympy2_extended", "antlr4", "tqdm", "openai", "httpx", "matplotlib", "peft", "datasets", "ray", "pytest",
}  # fmt: skip
LAZY = {"hf", "openai", "reference", "evaluation", "training", "testing", "verifiers", "viz", "cli"}
SOLVE = """
import ttscale

class Plain:
    def sample(self, requests):
        return [ttscale.Completion((ttscale.Step("\\\\boxed{1/2}", (1,)),), "stop") for _ in requests]
    def score(self, requests):
        return [ttscale.Verdict((0.5,)) for _ in requests]

for strategy in ("beam", "compute_optimal"):
    assert ttscale.solve("Why?", 8, generator=Plain(), verifier=Plain(), strategy=strategy).answer == "1/2"
"""


def loaded_by(script: str) -> set[str]:
    """The modules that a script brings in beyond those of a bare interpreter."""
    script = f"import sys\nbefore = set(sys.modules)\n{script}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_ttscale_loads_no_dependency_and_few_modules() -> None:
    modules = loaded_by("import ttscale")
    assert "ttscale.strategies.beam" in modules
    assert {module.partition(".")[0] for module in modules}.isdisjoint(DEPENDENCIES)
    assert modules.isdisjoint(f"ttscale.{name}" for name in LAZY)
    own = {module for module in modules if module.startswith("ttscale")}
    assert len(own) <= 60
    assert len(modules - own) <= 200
    # How long it takes is for people to look at (pytest -rP shows it), not for a test to fail on.
    script = "import time; begun = time.perf_counter(); import ttscale; print(time.perf_counter() - begun)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    print(f"import ttscale: {float(done.stdout):.3f} s")


@pytest.mark.parametrize(
    "script",
    [SOLVE, "import ttscale.cli.main", "import ttscale.verifiers, ttscale.revisers", "import ttscale.viz"],
    ids=["a search", "the command", "verifiers of one's own", "the viewer"],
)
def test_neither_does_what_needs_no_model(script: str) -> None:
    assert {module.partition(".")[0] for module in loaded_by(script)}.isdisjoint(DEPENDENCIES)


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert ttscale.__version__ == project["project"]["version"]
