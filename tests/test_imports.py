"""The direction of imports (a table, checked on the syntax tree), and what ``import ttscale`` loads."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ttscale

ROOT = Path(ttscale.__file__).parent
FRONT = "the package's __init__"

DATA = {"_types", "_requests", "_cost"}
SEARCH = {"_types", "_requests", "_roles", "_select", "_answers"}
BACKEND = {*DATA, "_errors", "_select", "prompts"}
"""``_select`` for the names of aggregations, ``prompts`` for layouts of text that local and remote models share."""
COMPOSED = {*BACKEND, "_roles", "_relay", "_answers"}
CORE = {*DATA, "_roles", "_errors", "_select", "engine._active", "engine._checks"}
"""``_select`` for the best so far, when a limit cuts a search short."""
EVERYTHING = {"*"}

MAY_IMPORT: dict[str, set[str]] = {
    # Data and pure functions.
    "_answers": set(),
    "_cost": set(),
    "_errors": set(),
    "_relay": set(),
    "_version": set(),
    "prompts": set(),
    "_types": {"_answers", "_cost"},
    "_requests": {"_types", "_cost"},
    "_roles": {"_types", "_requests"},
    "_select": {"_types", "_answers"},
    # Who decides, who runs it, who answers.
    "strategies": SEARCH,
    "engine._active": DATA,
    "engine._checks": {*DATA, "_roles"},
    "engine._core": CORE,
    "engine._workers": {"_errors", "_requests", "_roles", "engine._core"},
    "engine._garbage": set(),
    "engine._drive": {*DATA, "_roles", "engine._core", "engine._garbage", "engine._workers"},
    "engine._schema": {"_cost"},
    "engine._trace": {*DATA, "engine._schema"},
    "engine._tracefile": {"_requests", "engine._trace"},
    "engine": set(),
    "hf": BACKEND,
    "openai": BACKEND,
    "verifiers": COMPOSED,
    "revisers": COMPOSED,
    # Built on these.
    "reference": {"_roles", "strategies", "hf", "prompts"},
    "viz": {"_answers", "_cost", "engine._trace"},
    "testing": {*SEARCH, "_cost", "_errors", "_api", "strategies", "engine._core", "engine._checks"},
    "training": {*COMPOSED, "_models", "engine._core", "engine._drive", "hf", "reference"},
    # Those that see everything: the entry points, which are several files, and the command with its own.
    "_api": EVERYTHING,
    "_arguments": EVERYTHING,
    "_labels": EVERYTHING,
    "_models": EVERYTHING,
    "_plan": EVERYTHING,
    "cli": EVERYTHING,
    "cli_eval": EVERYTHING,
    "cli_train": EVERYTHING,
    "evaluation": EVERYTHING,
    FRONT: EVERYTHING,
}

EXCEPTIONS = {
    # Name a type in an annotation, and import nothing at run time.
    ("_types", "ttscale.engine._trace"),
    ("_errors", "ttscale._types"),
    # Asks for the version where the package was not installed but lies on the path.
    ("evaluation", "ttscale"),
}

WAITING = {"asyncio", "concurrent", "multiprocessing", "queue", "select", "signal", "socket", "subprocess", "threading"}
WORLD = WAITING | {"io", "json", "logging", "os", "pathlib", "random", "secrets", "sys", "tempfile", "time", "uuid"}
HEAVY = {"torch", "transformers", "numpy", "scipy", "openai", "matplotlib"}
NEVER: dict[str, set[str]] = {
    # Policies are read from and written to files here, which is no part of a search.
    "strategies": (WORLD | HEAVY) - {"json", "pathlib"},
    "engine._core": WORLD | HEAVY,
    "engine._active": WORLD | HEAVY,
    "engine._checks": WORLD | HEAVY,
    "_select": WORLD | HEAVY,
    "_requests": WORLD | HEAVY,
    "_types": WORLD | HEAVY,
    "_cost": WORLD | HEAVY,
}

LIGHT = [area for area in MAY_IMPORT if area not in ("hf", "openai", "training", "evaluation", "reference", "testing")]
"""What runs on the standard library alone until a question is asked (a progress bar, the parser of formulas)."""


def files() -> Iterator[tuple[str, str, ast.Module]]:
    """(path below the package, area, syntax tree) of every module."""
    for file in sorted(ROOT.rglob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        yield path, area_of(path.removesuffix(".py").removesuffix("/__init__").split("/")), ast.parse(file.read_bytes())


def area_of(parts: list[str]) -> str:
    """The part of the library that a module belongs to; the engine's files are looked at one by one."""
    if parts == ["__init__"]:
        return FRONT
    return ".".join(parts[:2]) if parts[0] == "engine" else parts[0]


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


def test_every_part_has_a_line_in_the_table_and_every_line_a_part() -> None:
    assert {area for _, area, _ in files()} == set(MAY_IMPORT)


@pytest.mark.parametrize("area", MAY_IMPORT)
def test_imports_go_in_one_direction(area: str) -> None:
    allowed = MAY_IMPORT[area]
    for path, own, tree in files():
        if own != area:
            continue
        for module in imported(tree):
            name, *parts = module.split(".")
            if name != "ttscale" or (own, module) in EXCEPTIONS:
                continue
            assert parts, f"{path} imports the package's front"
            other = area_of(parts)
            assert other == area or other in allowed or allowed == EVERYTHING, f"{path} imports {module}"


@pytest.mark.parametrize("area", NEVER)
def test_what_decides_knows_no_clock_no_chance_no_device_and_never_waits(area: str) -> None:
    for path, own, tree in files():
        if own == area:
            assert not {module.partition(".")[0] for module in imported(tree)} & NEVER[area], path


def test_exceptions_are_still_needed() -> None:
    found = {(area, module) for _, area, tree in files() for module in imported(tree)}
    assert found >= EXCEPTIONS
    # The first is no import at run time.
    (types,) = [tree for path, _, tree in files() if path == "_types.py"]
    assert "ttscale.engine._trace" not in set(imported(at_the_top(types)))


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
    assert len(own) <= 50
    assert len(modules - own) <= 200
    # How long it takes is for people to look at (pytest -rP shows it), not for a test to fail on.
    script = "import time; begun = time.perf_counter(); import ttscale; print(time.perf_counter() - begun)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    print(f"import ttscale: {float(done.stdout):.3f} s")


@pytest.mark.parametrize(
    "script",
    [SOLVE, "import ttscale.cli", "import ttscale.verifiers, ttscale.revisers", "import ttscale.viz"],
    ids=["a search", "the command", "verifiers of one's own", "the viewer"],
)
def test_neither_does_what_needs_no_model(script: str) -> None:
    assert {module.partition(".")[0] for module in loaded_by(script)}.isdisjoint(DEPENDENCIES)


def test_the_check_sees_what_is_loaded() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert ttscale.__version__ == project["project"]["version"]
