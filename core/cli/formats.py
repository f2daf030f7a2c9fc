"""labelferry formats: the known formats, and the options of one."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labelferry.plugin.adapter import Adapter


def formats(
    name: Annotated[str | None, typer.Argument(help="Describe this format.", show_default=False)] = None,
) -> None:
    """List the input formats, or describe one and its options."""
    from labelferry.errors import UsageError
    from labelferry.plugin import adapter, registry

    if name is None:
        for known in registry.format_names():
            try:
                cls = registry.get_adapter(known)
            except UsageError as error:  # a broken one does not prevent the list of the others
                print(f"{known:<12} {error}")
                continue
            print(_filled(_first_line(cls), f"{known:<12} "))
            print(_filled(", ".join(cls.tasks)))
            if variants := list(cls.variants()):
                print(_filled(", ".join(f"{known}:{variant}" for variant in variants)))
        print("\n'labelferry formats NAME' describes one.")
        return
    cls = registry.get_adapter(name)
    for paragraph in (sys.modules[cls.__module__].__doc__ or "").strip().split("\n\n"):
        is_drawn = any(line.startswith(" ") for line in paragraph.splitlines())
        print(f"{paragraph if is_drawn else _filled(' '.join(paragraph.split()), '', '')}\n")
    print(_filled(f"Tasks: {', '.join(cls.tasks)}", "", ""))
    print(f"\nOptions of 'labelferry convert --from {name}':")
    for option in adapter.adapter_options(cls):
        default = "" if option.default in (None, False, ()) else f" [default: {option.default}]"
        default = " [required]" if option.default is inspect.Parameter.empty else default
        body = _filled(option.help + default, " " * 6, " " * 6)
        print(f"  --{option.name.replace('_', '-')}\n{body}")


def _filled(text: str, first: str = " " * 13, following: str = " " * 13) -> str:
    """The text in lines that fit the terminal, with these beginnings."""
    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False, break_long_words=False
    )


def _first_line(cls: type[Adapter]) -> str:
    return (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip().partition("\n")[0]
