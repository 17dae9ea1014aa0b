"""The API reference: a page for each public package, which the sidebar lists; and one for each module, which it does not."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from readme_table import markdown_table

import featmix as fm


def pages() -> dict[str, str]:
    public = {name: getattr(fm, name) for name in fm.__all__ if not inspect.ismodule(getattr(fm, name))}
    strategies = [fm.strategy_class(name) for name in fm.list_strategies()]
    elsewhere = [*public.values(), *strategies]
    modules = list(_modules())
    packages = {module.__name__: module for module in modules if _is_public(module)}
    top = [_entry("featmix", name, obj, whole=True) for name, obj in public.items()]
    made = {
        "public/featmix.md": "# featmix\n\n" + "\n".join(top),
        "parts/api_names.md": _table("featmix", public),
        "parts/api_packages.md": markdown_table(
            ["package", "what it offers"],
            [[f"[`{name}`](_generated/public/{name}.md)", _first_line(module)] for name, module in packages.items()],
        ),
    }
    made |= {f"public/{name}.md": _package(module, elsewhere) for name, module in packages.items()}
    written = []
    for module in modules:
        members = {name: obj for name, obj in _own(module) if not any(obj is other for other in elsewhere)}
        if members:
            written.append(module)
            entries = "\n".join(_entry(module.__name__, name, obj) for name, obj in members.items())
            made[f"api/{module.__name__}.md"] = f"---\norphan: true\n---\n\n# {module.__name__}\n\n{_about(module)}\n{entries}"
    made["parts/api_modules.md"] = _list(written)
    return made


def _modules() -> Iterable[ModuleType]:
    """Every module of featmix that is not private and can be imported here."""
    for found in pkgutil.walk_packages(fm.__path__, "featmix."):
        if any(part.startswith("_") for part in found.name.split(".")):
            continue
        try:
            yield importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if error.name != "triton":
                raise


def _is_public(module: ModuleType) -> bool:
    """Whether it is a package that says what it offers."""
    return bool(getattr(module, "__all__", None)) and module.__name__.count(".") == 1


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
        and not (module.__name__.startswith("featmix.cli") and hasattr(obj, "__signature__"))  # shown on the page of commands
    ]


def _package(module: ModuleType, elsewhere: list[object]) -> str:
    """A page for a public package: what it is, and its names."""
    names = {name: getattr(module, name) for name in module.__all__}
    documented = {name: obj for name, obj in names.items() if hasattr(obj, "__module__") and inspect.getdoc(obj)}
    rows = _table(None, {name: obj for name, obj in documented.items() if not any(obj is other for other in elsewhere)})
    return f"# {module.__name__}\n\n{_first_line(module)} Each name links to its definition.\n\n{rows}"


def _table(module: str | None, names: dict[str, object]) -> str:
    """A row for each name: a link to it, and the first sentence about it. ``None`` links to where each was defined."""
    rows = []
    for name, obj in names.items():
        where = f"{module}.{name}" if module else f"{obj.__module__}.{obj.__name__}"
        rows.append([f"{{py:obj}}`{name} <{where}>`", _first_line(obj)])
    return markdown_table(["name", "what it is"], rows)


def _list(modules: list[ModuleType]) -> str:
    """All module pages, those of one package under each other."""
    rows = [[f"[`{module.__name__.removeprefix('featmix.')}`](_generated/api/{module.__name__}.md)", _first_line(module)]
            for module in modules]  # fmt: skip
    return markdown_table(["module of featmix", "what it does"], rows)


def _first_line(obj: object) -> str:
    """The first sentence of a docstring, in Markdown."""
    text = (inspect.getdoc(obj) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
    return _plain_roles(text.partition(". ")[0].rstrip(".:") + ".")


def _plain_roles(text: str) -> str:
    """``:class:`~featmix.Mixture``` as the name alone: tables of links do not need links in their text."""
    head, *rest = text.split(":`")
    for part in rest:
        target, _, tail = part.partition("`")
        head = head.rpartition(":")[0] + f"`{target.rpartition('.')[2]}`" + tail
    return head


def _about(module: ModuleType) -> str:
    return f"```{{eval-rst}}\n.. py:currentmodule:: {module.__name__}\n\n{inspect.getdoc(module) or ''}\n```\n"


def _entry(module: str, name: str, obj: object, *, whole: bool = False) -> str:
    """An entry; if ``whole``, with what a class has from parts of it: bases of the same package."""
    options = ""
    kind = "autofunction"
    if inspect.isclass(obj):
        kind = "autoexception" if issubclass(obj, BaseException) else "autoclass"
        options = "   :members:\n   :show-inheritance:\n"
        others = [base.__name__ for base in obj.__mro__[1:] if _package_of(base) != _package_of(obj)]
        if whole and len(others) < len(obj.__mro__) - 1:
            options += f"   :inherited-members: {', '.join(others)}\n"
    # The current module is where types in signatures are looked up.
    return f"```{{eval-rst}}\n.. py:currentmodule:: {module}\n.. {kind}:: {module}::{name}\n{options}```\n"


def _package_of(cls: type) -> str:
    return cls.__module__.rpartition(".")[0]
