"""`import labelferry`: its names, its help, and what it costs."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import labelferry
from tests.conftest import ROOT

assert labelferry.__doc__
OVERVIEW = labelferry.__doc__


def test_the_help_is_an_overview_of_at_most_100_lines() -> None:
    text = pydoc.render_doc(labelferry, renderer=pydoc.plaintext)
    assert len(text.splitlines()) <= 100
    assert OVERVIEW.splitlines()[-2] in text


def test_every_public_name_exists_and_is_in_the_overview() -> None:
    names = [name for name in dir(labelferry) if not name.startswith("__")]
    assert "convert" in names
    for name in names:
        assert getattr(labelferry, name).__name__ == name
        assert re.search(rf"^    (.*, )?{name}\b", OVERVIEW, re.M), name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(labelferry.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    declared = {
        (alias.name, alias.asname, node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names = [name for name in dir(labelferry) if not name.startswith("__")]
    assert declared == {(name, name, getattr(labelferry, name).__module__) for name in names}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'labelferry' has no attribute 'konvert'"):
        labelferry.konvert  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    assert labelferry.__version__ == version("labelferry")


def test_importing_labelferry_imports_no_module_of_it() -> None:
    code = "import sys, labelferry; print(*(name for name in sys.modules if name.startswith('labelferry')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if not name.startswith("__")] == ["labelferry"]


def test_the_documentation_names_every_module() -> None:
    text = (ROOT / "docs/internals.md").read_text()
    modules = [path.relative_to(ROOT / "core").with_suffix("") for path in (ROOT / "core").rglob("*.py")]
    named = [".".join(module.parts) for module in modules if not module.name.startswith("__")]
    covered = [name for name in named if name.startswith("video.packets.")]  # named together, a module for each codec
    assert [name for name in named if f"`{name}`" not in text and name not in covered] == []
