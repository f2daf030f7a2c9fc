"""How adapters are found: built in (one module of `labelferry.converters` each), registered by a decorator, given by an
installed package's entry point, or taken from a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from labelferry.errors import UsageError, did_you_mean
from labelferry.plugin.adapter import Adapter

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "labelferry.adapters"
"""The group of entry points that packages name their adapters in: `myformat = "my_package.my_module:MyAdapter"`."""

_FILE = re.compile(r"(.+\.py)(?::([^/\\]+))?")
_registered: dict[str, type[Adapter]] = {}
_files: dict[str, str] = {}  # the path by the name of the module that was made of it
A = TypeVar("A", bound=type[Adapter])


def register(name: str) -> Callable[[A], A]:
    """Class decorator: makes an adapter known as the format `name`.

    Raises:
        UsageError: another adapter has this name.
    """

    def decorate(cls: A) -> A:
        other = _registered.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise UsageError(f"the format {name!r} is registered twice: by {other.__module__} and {cls.__module__}")
        _registered[name] = cls
        return cls

    return decorate


def format_names() -> list[str]:
    """The names of all known formats, in alphabetical order; nothing is imported for it."""
    return sorted({*_built_in(), *_registered, *_entry_points()})


def get_adapter(name: str) -> type[Adapter]:
    """The adapter of a format, of a variant (`labelformat:kitti`), or in a file (`./my_adapter.py:MyAdapter`).

    Raises:
        UsageError: there is no such format, or its adapter cannot be imported.
    """
    if file := _FILE.fullmatch(name):
        return _adapter_in(Path(file[1]), file[2])
    base, colon, variant = name.partition(":")
    return _known_adapter(base).variant(variant) if colon else _known_adapter(base)


def short_name(name: str) -> str:
    """A format's name as part of a task's: of an adapter in a file, the file's."""
    file = _FILE.fullmatch(name)
    return re.sub(r"[^a-zA-Z0-9_+=,.@-]", "_", Path(file[1]).stem if file else name)


def loaded_files() -> dict[str, str]:
    """Paths of the files that adapters were taken from, by module: worker processes load them too."""
    return dict(_files)


def load_file(module: str, path: str) -> None:
    """Import a file as a module of this name.

    Raises:
        UsageError: it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    try:
        spec.loader.exec_module(loaded)
    except Exception as error:
        del sys.modules[module]
        raise UsageError(f"{path} cannot be imported: {_described(error)}") from error
    _files[module] = path


def _built_in() -> list[str]:
    """The formats in `labelferry.converters`: a module or package each, unless its name is private."""
    modules = pkgutil.iter_modules(importlib.import_module("labelferry.converters").__path__)
    return [module.name for module in modules if not module.name.startswith("_")]


def _known_adapter(name: str) -> type[Adapter]:
    cls = _find_adapter(name)
    if cls is None:
        text = f"there is no format {name!r}; known formats: auto (detects it), {', '.join(format_names())}"
        raise UsageError(f"{text}{_suggestion(name)}")
    return cls


def _find_adapter(name: str) -> type[Adapter] | None:
    if name not in _registered and name in _built_in():
        importlib.import_module(f"labelferry.converters.{name}")
    if name not in _registered and (entry := _entry_points().get(name)):
        try:
            cls = entry.load()
        except Exception as error:
            raise UsageError(
                f"the adapter of {name!r}, {entry.value}, cannot be imported: {_described(error)}"
            ) from error
        if not (isinstance(cls, type) and issubclass(cls, Adapter)):
            raise UsageError(f"the adapter of {name!r}, {entry.value}, is not a subclass of labelferry.Adapter")
        return cls
    return _registered.get(name)


def _suggestion(name: str) -> str:
    """The end of a message about an unknown format: the one that is meant, or what to do about one that is not
    supported."""
    from labelferry.plugin.unsupported import advice_on

    names: dict[str, str] = {"auto": "auto"}
    variants: dict[str, str] = {}
    for format in format_names():
        with suppress(UsageError):  # of a broken package, which `formats` reports
            cls = _find_adapter(format)
            names |= {_plain(alias): format for alias in (*(cls.also_called if cls else ()), format)}
            variants |= {_plain(variant): f"{format}:{variant}" for variant in (cls.variants() if cls else ())}
    plain = _plain(name)
    without_number = re.sub(r"v?\d+$", "", plain)
    if near := names.get(plain) or names.get(without_number) or variants.get(plain):
        return f". Did you mean {near!r}?"
    if advice := advice_on(name):
        return f". It is not supported: {advice}"
    return did_you_mean(name.lower(), [*format_names(), *variants.values()])


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _adapter_in(path: Path, wanted: str | None) -> type[Adapter]:
    """The adapter in a file: the class of this name, or the only one."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    place = str(path.resolve())
    module = f"labelferry_{path.stem}_{hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()[:8]}"
    if module not in sys.modules:
        load_file(module, place)
    classes = {
        name: value
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and issubclass(value, Adapter) and value.__module__ == module
    }
    if wanted is None and len(classes) == 1:
        return next(iter(classes.values()))
    if wanted not in classes:
        have = ", ".join(classes) or "none"
        what = "name one of its adapters" if wanted is None else f"it has no adapter {wanted!r}"
        raise UsageError(f"{path}: {what} ({path}:NAME); adapters in it: {have}")
    return classes[wanted]


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
