"""Converts YAML to plain values and back, from the parser's events, so that no tag can call a constructor.

Numbers, ``true``, ``false`` and ``null`` follow YAML 1.2; ``yes``, ``no``, ``on`` and ``off`` are text. Tags, anchors, aliases,
duplicate keys and a second document are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from featmix.configuration.place import Place, shown
from featmix.configuration.plain import DEEPEST, LONGEST_TEXT, Counted, Plain, checked_text
from featmix.errors import FeatmixError
from featmix.support.extras import imported

_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?[0-9]{1,19}")
_WHOLE_TOO_LONG = re.compile(r"[-+]?[0-9]{20,}")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,9})?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)")


def parse(text: str, place: Place) -> Plain:
    """Return the plain values of a YAML text.

    Raises:
        FeatmixError: If it is no YAML, or uses features that configurations do not allow.

    Example:
        >>> parse("mix: {sites: {0: {name: moex, eps: 1e-5, norm: no}}}", Place("aug.yaml"))
        {'mix': {'sites': {'0': {'name': 'moex', 'eps': 1e-05, 'norm': 'no'}}}}
    """
    yaml = _library()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Reader(yaml, yaml.parse(text, Loader=loader)).document(place)
    except FeatmixError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: escapes of characters that do not exist
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise place.refuse("YAML", f"{shown(getattr(error, 'problem', None) or str(error))}{where}") from error


def emit(value: Plain) -> str:
    """Return YAML text from which :func:`parse`, and any reader of YAML 1.1 or 1.2, restores these values.

    Example:
        >>> print(emit({"mix": {"at": "0", "weights": [1.0, 1e-05]}}), end="")
        mix:
          at: '0'
          weights:
          - 1.0
          - 1.0e-05
    """
    yaml = _library()
    events = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    events += [*_written(yaml, value), yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()]
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.emit(events, Dumper=dumper, allow_unicode=True, width=10_000)
    return text


class _Reader:
    def __init__(self, yaml: ModuleType, events: Iterator[Any]) -> None:
        self.yaml, self.events, self.size = yaml, events, Counted()

    def document(self, place: Place) -> Plain:
        next(self.events)
        if isinstance(next(self.events), self.yaml.StreamEndEvent):
            raise place.refuse("a configuration", "an empty file")
        value = self.node(next(self.events), place, 0)
        next(self.events)
        if not isinstance(next(self.events), self.yaml.StreamEndEvent):
            raise place.refuse("one document", "a second one")
        return value

    def node(self, event: Any, place: Place, depth: int) -> Plain:
        yaml = self.yaml
        self.size.count(place, dictionary=isinstance(event, yaml.MappingStartEvent))
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise place.refuse("no anchors and no aliases", shown(event.anchor), "Write the entry out where it is needed.")
        if event.tag is not None:
            raise place.refuse("no tags", shown(event.tag))
        if depth > DEEPEST:
            raise place.refuse(f"at most {DEEPEST} levels", "more")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value, place) if event.implicit[0] else checked_text(event.value, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(place, depth)
        return self.mapping(place, depth)

    def sequence(self, place: Place, depth: int) -> list[Plain]:
        items: list[Plain] = []
        while not isinstance(event := next(self.events), self.yaml.SequenceEndEvent):
            items.append(self.node(event, place.item(len(items)), depth + 1))
        return items

    def mapping(self, place: Place, depth: int) -> dict[str, Plain]:
        entries: dict[str, Plain] = {}
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            if not isinstance(event, self.yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
                raise place.refuse("plain text for keys", "a tag, an alias, a list or a dictionary")
            key = checked_text(event.value, place)  # as it is written: sites may be called 0, or no
            if key in entries:
                raise place.key(key).refuse("each key once", "the same key again")
            entries[key] = self.node(next(self.events), place.key(key), depth + 1)
        return entries


def _scalar(text: str, place: Place) -> Plain:
    if len(text) > LONGEST_TEXT:
        return checked_text(text, place)
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _WHOLE_TOO_LONG.fullmatch(text):
        raise place.refuse("a whole number of at most 64 bits", f"one of {len(text)} digits")
    if _NOT_FINITE.fullmatch(text):
        raise place.refuse("a finite number", text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return checked_text(text, place)


def _written(yaml: ModuleType, value: Plain) -> Iterator[Any]:
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=not value)
        for key, item in value.items():
            yield from _written(yaml, key)
            yield from _written(yaml, item)
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=not value)
        for item in value:
            yield from _written(yaml, item)
        yield yaml.SequenceEndEvent()
    else:
        plainly = _is_plain_text(yaml, value) if isinstance(value, str) else True
        yield yaml.ScalarEvent(None, None, (plainly, True), _text_of(value))


def _text_of(value: bool | int | float | str | None) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 wants the point


def _is_plain_text(yaml: ModuleType, text: str) -> bool:
    """Return whether unquoted text is read as text, by the rules of YAML 1.1 and of this module."""
    resolver = yaml.resolver.Resolver()
    by_old_rules = resolver.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"
    return by_old_rules and text not in _WORDS and not _NUMBER.fullmatch(text) and not _NOT_FINITE.fullmatch(text)


def _library() -> ModuleType:
    library: ModuleType = imported("yaml", subject="configuration", install="featmix[pipeline]")
    return library
