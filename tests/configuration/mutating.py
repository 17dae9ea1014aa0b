"""Hostile and broken variants of configuration files, made from good ones: of their bytes and of their structure."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

import yaml

CANARY = "fuzz-canary"

WORDS = [
    f'!!python/object/apply:os.system ["touch {CANARY}"]',
    f'!!python/object/apply:subprocess.Popen [["touch", "{CANARY}"]]',
    f"!!python/object/apply:builtins.eval [\"open('{CANARY}', 'w')\"]",
    "!!python/name:os.system",
    "!!python/module:antigravity",
    "!!python/object:featmix.MoEx {}",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!!timestamp 2020-01-01",
    "!!float '1'",
    "!mine x",
    "%TAG ! tag:yaml.org,2002:python/",
    "&a [*a]",
    "&a {<<: *a}",
    "<<: *a",
    "*a",
    "&a",
    "[" * 200,
    "{a: " * 200,
    "- " * 200,
    "? ",
    "---",
    "...",
    "\n--- 1\n",
    "\x00",
    "\x07",
    "\x85",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    '"\\x00"',
    '"\\UFFFFFFFF"',
    '"\\ud800"',
    "'",
    '"',
    "|",
    ">-",
    "\t",
    "\r",
    "#",
    ": ",
    ",",
    "]",
    "}",
    "~",
    "null",
    "true",
    ".nan",
    "-.inf",
    "1e999",
    "-1e-999",
    "9" * 30,
    "9" * 5000,
    "0x7fffffff",
    "1_0",
    "x" * 5000,
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**64,
    10**30,
    0.0,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "x" * 5000,
    "in",
    "input",
    "../../../etc/passwd",
    "/etc/passwd",
    "os.system",
    "builtins.exec",
    "__import__('os').system('touch fuzz-canary')",
    "${HOME}",
    "{{7*7}}",
    "\x00",
    "\u202e",
    [],
    {},
    [[]],
    [None],
    [1] * 300,
    {"": ""},
    {"name": "moex"},
    {"name": "__init__"},
    {"at": "input", "strategy": {"name": "mixup"}},
    {"compose": []},
    {"linear": {"start": 0, "end": 1}},
    {"linear": {"start": [], "end": {}}},
    {"switch_off": {"before": {"switch_off": {}}, "at": 0.5}},
    {"normalizer": {"name": "in"}},
    {"tensor": [[1, 2], [3]]},
    {"tensor": [0.5], "dtype": "qint8"},
    {"dtype": "float32"},
    {"list": [1, {"list": []}]},
    {"entries": [[[], 1]]},
    {"enum": "kornia.constants.Resample.NEAREST"},
    {"enum": "os.path.sep"},
    {"function": "os.system"},
    {"function": "builtins.eval"},
    {"class": "subprocess.Popen", "arguments": {"args": ["touch", CANARY], "shell": True}},
    {"class": "builtins.exec", "members": [f"open('{CANARY}', 'w')"]},
    {"class": "torch.load", "arguments": {"f": "/etc/passwd"}},
    {"class": "torch.hub.load"},
    {"class": "torch.nn.Sequential", "members": [{"class": "torch.nn.Identity"}]},
    {"class": "kornia.augmentation.RandomDissolving"},
    {"class": "kornia.augmentation.RandomMixUpV2"},
    {"class": "kornia.augmentation.AugmentationSequential", "members": [3]},
    {"class": "kornia.augmentation.utils"},
    {"class": "kornia.augmentation.RandomAffine", "arguments": {"degrees": {"class": "os.system"}}},
    {"class": "torchvision.transforms.v2.Lambda", "arguments": {"lambd": {"function": "os.system"}}},
    {"albumentations": {"__class_fullname__": "Lambda", "__name__": "x"}},
    {"albumentations": {"__class_fullname__": "TextImage", "font_path": "/etc/passwd"}},
    {"albumentations": {"__class_fullname__": "HistogramMatching", "reference_images": ["/etc/passwd"]}},
    {"albumentations": {"__class_fullname__": "albumentations.core.serialization.load"}},
    {"__class_fullname__": "HorizontalFlip", "p": 0.5},
    {"__class_fullname__": "os.system"},
    {"__class__": "os.system", "__reduce__": ["os.system", ["touch"]]},
    {"__proto__": {}},
]

Path = tuple[Any, ...]


def mutants(texts: list[str], count: int, seed: int) -> Iterator[bytes]:
    """Files made from good ones by one to four changes each; as many of the bytes as of the structure."""
    rng = random.Random(seed)
    documents = [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts]
    nodes = [place for document in documents for place in _places(document)]
    pool = [_at(document, place) for document in documents for place in _places(document)]
    keys = sorted({place[-1] for place in nodes if place and isinstance(place[-1], str)})
    for number in range(count):
        which = rng.randrange(len(texts))
        changes = rng.choice([1, 1, 1, 2, 3, 4])
        if number % 2:
            data = texts[which].encode()
            for _ in range(changes):
                data = _change_bytes(data, rng, [text.encode() for text in texts])
            yield data
        else:
            document = copy.deepcopy(documents[which])
            for _ in range(changes):
                document = _change_structure(document, rng, pool, keys)
            flow = rng.choice([None, True, False])
            yield yaml.dump(document, Dumper=yaml.CSafeDumper, default_flow_style=flow, sort_keys=False).encode()


def _change_bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice([0, 1, 1, 2, 8, 40, 400]))
    kind = rng.randrange(8)
    if kind == 0:  # other bytes
        new = bytes(rng.randrange(256) for _ in range(end - start))
    elif kind == 1:  # a flipped bit
        new = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[start:end])
    elif kind == 2:  # nothing
        new = b""
    elif kind == 3:  # twice
        new = data[start:end] * rng.choice([2, 2, 3, 50])
    elif kind == 4:  # a part of another file
        other = rng.choice(others)
        begin = rng.randrange(len(other))
        new = other[begin : begin + rng.choice([4, 40, 400])]
    elif kind == 5:  # something hostile where a value stands
        colon = data.find(b": ", start)
        start, end = (colon + 2, max(data.find(b"\n", colon), colon + 2)) if colon >= 0 else (start, end)
        new = rng.choice(WORDS).encode("utf-8", "surrogatepass")
    elif kind == 6:  # or anywhere
        new = rng.choice(WORDS).encode("utf-8", "surrogatepass")
    else:  # a line in another place
        lines = data.splitlines(keepends=True) or [b""]
        line = lines.pop(rng.randrange(len(lines)))
        lines.insert(rng.randrange(len(lines) + 1), line)
        return b"".join(lines)
    return data[:start] + new + data[end:]


def _change_structure(document: Any, rng: random.Random, pool: list[Any], keys: list[str]) -> Any:
    places = [place for place in _places(document) if place]
    if not places:
        return copy.deepcopy(rng.choice(VALUES))
    place = rng.choice(places)
    holder, key = _at(document, place[:-1]), place[-1]
    kind = rng.randrange(8)
    if kind == 0:  # something hostile
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 1:  # a part of a good file, where it does not belong
        holder[key] = copy.deepcopy(rng.choice(pool))
    elif kind == 2:  # nothing
        del holder[key]
    elif kind == 3 and isinstance(holder, dict):  # another name
        holder[rng.choice([*keys, key + "x", key.upper(), "", "__class__", "self", "0"])] = holder.pop(key)
    elif kind == 4:  # one entry more
        if isinstance(holder, dict):
            holder[rng.choice(keys)] = copy.deepcopy(rng.choice(VALUES))
        else:
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(rng.choice(VALUES)))
    elif kind == 5:  # one level more
        holder[key] = rng.choice([[holder[key]], {"list": holder[key]}, {rng.choice(keys): holder[key]}])
    elif kind == 6:  # something near
        holder[key] = _near(holder[key], rng)
    else:  # a deep repetition
        for _ in range(rng.choice([2, 30, 60])):
            holder[key] = {"compose": [holder[key]]} if rng.random() < 0.5 else [holder[key]]
    return document


def _near(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return rng.choice([not value, "true", 1])
    if isinstance(value, int | float):
        whole = int(value) if math.isfinite(value) else 0
        return rng.choice([-value, value * 1e6, value + 1, str(value), [value], whole, float(value)])
    if isinstance(value, str):
        return rng.choice([value[:-1], value + "s", value.upper(), value.replace(".", ".."), f" {value}", value * 3])
    return rng.choice([list(value), dict.fromkeys(map(str, value)), str(value)])


def _places(value: Any, place: Path = ()) -> Iterator[Path]:
    yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*place, index))


def _at(value: Any, place: Path) -> Any:
    for key in place:
        value = value[key]
    return value
