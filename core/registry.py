"""How adapters are found: built in (one module of `labelferry.converters` each), or registered."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

import labelferry.converters
from labelferry.adapter import Adapter
from labelferry.errors import UsageError

_registered: dict[str, type[Adapter]] = {}
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
    """The names of all known formats, in alphabetical order."""
    built_in = (module.name for module in pkgutil.iter_modules(labelferry.converters.__path__))
    return sorted({*built_in, *_registered})


def get_adapter(name: str) -> type[Adapter]:
    """The adapter of a format.

    Raises:
        UsageError: there is no such format.
    """
    if name not in _registered and name in format_names():
        importlib.import_module(f"labelferry.converters.{name}")
    if name not in _registered:
        near = difflib.get_close_matches(name, format_names(), 1, 0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"there is no format {name!r}.{hint} Known formats: {', '.join(format_names())}")
    return _registered[name]
