"""The API reference: the public names of ``featmix``, then each module with the public members that it defines."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import featmix as fm


def pages() -> dict[str, str]:
    public = {name: getattr(fm, name) for name in fm.__all__ if not inspect.ismodule(getattr(fm, name))}
    made = {"parts/api.md": "\n".join(_entry("featmix", name, obj) for name, obj in public.items())}
    elsewhere = list(public.values()) + [fm.strategy_class(name) for name in fm.list_strategies()]
    for found in pkgutil.walk_packages(fm.__path__, "featmix."):
        if any(part.startswith("_") for part in found.name.split(".")):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if error.name != "triton":
                raise
            continue
        members = {name: obj for name, obj in _own(module) if not any(obj is other for other in elsewhere)}
        if members:
            entries = "\n".join(_entry(module.__name__, name, obj) for name, obj in members.items())
            made[f"api/{module.__name__}.md"] = f"# {module.__name__}\n\n{_about(module)}\n{entries}"
    return made


def _own(module: ModuleType) -> list[tuple[str, object]]:
    """What the module defines, in the order in which it does."""
    return [
        (name, obj)
        for name, obj in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(obj) or inspect.isfunction(obj))
        and obj.__module__ == module.__name__
        and obj.__name__ == name
        and inspect.getdoc(obj)
    ]


def _about(module: ModuleType) -> str:
    return f"```{{eval-rst}}\n.. py:currentmodule:: {module.__name__}\n\n{inspect.getdoc(module) or ''}\n```\n"


def _entry(module: str, name: str, obj: object) -> str:
    options = ""
    kind = "autofunction"
    if inspect.isclass(obj):
        kind = "autoexception" if issubclass(obj, BaseException) else "autoclass"
        options = "   :members:\n   :show-inheritance:\n"
    # The current module is where types in signatures are looked up.
    return f"```{{eval-rst}}\n.. py:currentmodule:: {module}\n.. {kind}:: {module}::{name}\n{options}```\n"
