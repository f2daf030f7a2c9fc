"""labelferry formats: the known formats, and the options of one."""

from __future__ import annotations

import inspect
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
            print(f"{known:<12} {_first_line(cls)}")
            print(f"{'':<12} {', '.join(cls.tasks)}")
            if variants := list(cls.variants()):
                print(f"{'':<12} {', '.join(f'{known}:{variant}' for variant in variants)}")
        print("\n'labelferry formats NAME' describes one.")
        return
    cls = registry.get_adapter(name)
    print((sys.modules[cls.__module__].__doc__ or "").strip())
    print(f"\nTasks: {', '.join(cls.tasks)}\n\nOptions of 'labelferry convert --from {name}':")
    for option in adapter.adapter_options(cls):
        default = "" if option.default in (None, False, ()) else f" [default: {option.default}]"
        default = " [required]" if option.default is inspect.Parameter.empty else default
        body = textwrap.fill(option.help + default, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
        print(f"  --{option.name.replace('_', '-')}\n{body}")


def _first_line(cls: type[Adapter]) -> str:
    return (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip().partition("\n")[0]
