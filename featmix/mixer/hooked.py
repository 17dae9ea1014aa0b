"""Classes for hooked modules: a compiler tells them from unhooked ones, and copies go back to the plain class, without hooks.

A compiler guards the class of a module, and not whether its dicts of hooks are empty: it would run the graph of an unhooked
module for a hooked one of the same class. So a hooked module gets a subclass of its class, the same for all of that class, as
torch itself does for sharded and for parametrized modules.
"""

from __future__ import annotations

import contextlib
import copyreg
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from featmix.mixer.switch import Switch

_NEW_OBJECT = vars(copyreg)["__newobj__"]
_PLAIN = "_featmix_plain"  # in the namespace of a hooked class: the class that it stands for
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_ABOUT_HOOKS = (*_HOOKS, "_forward_pre_hooks_with_kwargs", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")


class Hook:
    """Base of a mixer's hooks. Copies of a module do not take them along."""

    switch: Switch

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return inert

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _made_inert, ()


def inert(*_: object, **__: object) -> None:
    """Stand for a hook in a copy, until it is taken off; it stays only where a class makes its copies in a way of its own."""


def hooks_of(model: nn.Module) -> Iterator[Hook]:
    """Return a mixer's hooks on a model and its parts."""
    for module in model.modules():
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            if isinstance(hook, Hook):
                yield hook


class Mark:
    """The hooked class of one module, to be taken off again; a module whose class allows no subclass stays as it is."""

    def __init__(self, module: nn.Module) -> None:
        self._module = weakref.ref(module)
        if _stands_for(type(module)) is None:
            with contextlib.suppress(TypeError):
                object.__setattr__(module, "__class__", hooked_class(type(module)))

    def remove(self) -> None:
        """Give the module its plain class again, also where another one has been derived from the hooked one meanwhile."""
        module = self._module()
        if module is None:
            return
        plain = _stands_for(type(module))
        if plain is not None:
            object.__setattr__(module, "__class__", plain)
            return
        for cls in type(module).__mro__:
            bases = tuple(_stands_for(base) or base for base in cls.__bases__)
            if bases != cls.__bases__:
                cls.__bases__ = bases


def hooked_class(plain: type) -> type:
    """Return the subclass for hooked modules of a class: of the same name, and the same one as long as any module has it.

    Example:
        >>> hooked = hooked_class(nn.Linear)
        >>> hooked.__name__, hooked is nn.Linear, hooked is hooked_class(nn.Linear), type(hooked(2, 3)) is nn.Linear
        ('Linear', False, True, True)
    """
    known: list[type] = type.__subclasses__(plain)
    found = next((cls for cls in known if _stands_for(cls) is plain), None)
    return found or _made_class(plain)


def without_hooks(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a module without a mixer's hooks; dicts that held one are new, and all others are the same."""
    ours = {key for name in _HOOKS for key, hook in state.get(name, {}).items() if isinstance(hook, Hook) or hook is inert}
    if not ours:
        return state
    kept = {name: {k: v for k, v in state[name].items() if k not in ours} for name in _ABOUT_HOOKS if state.get(name)}
    return {**state, **{name: type(state[name])(rest) for name, rest in kept.items()}}


def _stands_for(cls: type) -> type | None:
    return vars(cls).get(_PLAIN)


def _made_class(plain: type) -> type:
    names: dict[str, Any] = {name: getattr(plain, name) for name in ("__module__", "__qualname__", "__doc__")}
    names["__slots__"] = ()

    def __reduce_ex__(self: Any, protocol: Any) -> Any:  # noqa: N807
        reduced = _plainly(super(made, self).__reduce_ex__(protocol), made, plain)
        return (*_made_by(plain, reduced[1]), *reduced[2:]) if reduced[0] is _NEW_OBJECT else reduced

    names["__reduce_ex__"] = __reduce_ex__
    if hasattr(plain, "__deepcopy__"):

        def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:  # noqa: N807
            copied = super(made, self).__deepcopy__(memo)
            if copied is not self and isinstance(copied, nn.Module):
                vars(copied).update(without_hooks(vars(copied)))
                if type(copied) is made:
                    object.__setattr__(copied, "__class__", plain)
            return copied

        names["__deepcopy__"] = __deepcopy__
    if "_wrapped_call" in vars(plain):  # a graph module looks for it in its class when its code is made anew
        names["_wrapped_call"] = vars(plain)["_wrapped_call"]
    if isinstance(later := getattr(plain, "cls_to_become", None), type):  # of a lazy module, once it knows its shape
        names["cls_to_become"] = hooked_class(later)
    made: Any = _metaclass(type(plain))(plain.__name__, (_Quiet, plain), names)
    type.__setattr__(made, "__bases__", (plain,))
    type.__setattr__(made, _PLAIN, plain)
    return made  # type: ignore[no-any-return]


class _Quiet(nn.Module):
    """First base of a class while it is made: what keeps a register of its subclasses does not hear of it."""

    def __init_subclass__(cls, **_: Any) -> None:
        """Tell nobody."""


def _metaclass(kind: Any) -> Any:
    """Return a kind of class whose hooked classes make plain instances, and act as the plain class towards who changes it.

    Parametrizations set properties on the class of a module, and in the end give it the first of its bases.
    """
    bases = vars(type)["__bases__"]

    class Hooked(kind):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
            return (_stands_for(cls) or super().__call__)(*args, **kwargs)

        def __setattr__(cls, name: str, value: Any) -> None:  # noqa: N805
            plain = _stands_for(cls)
            super().__setattr__(name, value) if plain is None else setattr(plain, name, value)

        def __delattr__(cls, name: str) -> None:  # noqa: N805
            plain = _stands_for(cls)
            super().__delattr__(name) if plain is None else delattr(plain, name)

        __bases__ = property(lambda cls: bases.__get__(_stands_for(cls) or cls), bases.__set__)

    return Hooked


def _plainly(part: Any, made: type, plain: type) -> Any:
    """Return what makes a copy, with the plain class for the hooked one and no hooks."""
    if part is made:
        return plain
    if type(part) is tuple:
        return tuple(_plainly(each, made, plain) for each in part)
    return without_hooks(part) if type(part) is dict else part


def _made_by(plain: Any, arguments: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return what ``cls.__new__(*arguments)`` calls: pickle refuses the short form for a class that is not the object's."""
    if isinstance(plain.__new__, FunctionType):
        return plain.__new__, arguments
    return copyreg._reconstructor, (plain, object, None)  # type: ignore[attr-defined]


def _made_inert() -> Callable[..., None]:
    return inert
