"""A configuration file is untrusted: whatever is in it, it is read or refused, and nothing is executed or imported."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter

import pytest
import torch
import yaml
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix import schedule
from featmix.configuration.place import Place
from featmix.configuration.yaml_text import parse
from featmix.interop.albumentations import MomentExchange
from featmix.interop.kornia import from_kornia, to_kornia
from tests.configuration.mutating import CANARY, VALUES, WORDS, mutants

FILES = int(os.environ.get("FEATMIX_FUZZ", "10500"))
QUIET = ("object.__getattr__", "sys._getframe", "builtins.id", "gc.get_referrers")  # looking at things in this process


class Watch:
    """What Python reports of itself while a file is read: imports, executed code, opened files, processes, sockets."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.note)

    def note(self, event, arguments):
        if self.on and event not in QUIET:
            self.seen.append((event, str(arguments)[:200]))

    @contextlib.contextmanager
    def watching(self):
        self.seen, self.on = [], True
        try:
            yield self.seen
        finally:
            self.on = False


WATCH = Watch()


def good_files(folder):
    """Files that use all there is, in a few lines each."""
    things = {
        "strategy": fm.MoEx("gn2", p=schedule.switch_off(schedule.linear(0, 0.5), at=0.9)),
        "normalizer": fm.normalizer("gpono2", layout="bhwc"),
        "sites": {"input": fm.CutMix(p=0.5), "layer1": fm.MixStyle()},
        "tree": fm.Compose(
            [fm.At("input", fm.Mixup(), call=0), fm.OneOf([fm.At("0", fm.MoEx())], weights=[2])], share_partner=True
        ),
        "kornia": fm.Pipeline(batch=nn.Sequential(K.RandomAffine(15.0, p=1.0), K.RandomRotation(5.0)), seed=1),
        "containers": fm.Pipeline(
            batch=K.AugmentationSequential(
                K.RandomHorizontalFlip(), K.RandomErasing(), data_keys=["input", "mask"], random_apply=1
            )
        ),
        "albumentations": fm.Pipeline(
            sample=A.Compose([A.RandomCrop(4, 4), A.OneOf([A.HorizontalFlip(), A.GaussNoise()])], seed=1)
        ),
        "adapted": fm.Pipeline(
            sample=A.Compose([MomentExchange("in")]),
            batch=to_kornia(fm.MixStyle()),
            mix=fm.SomeOf([fm.At("input", from_kornia(K.RandomMixUpV2(p=0.5)))], count=1),
        ),
        "pipeline": fm.Pipeline(
            sample=A.Compose([A.VerticalFlip()]), batch=K.RandomHorizontalFlip(), mix={"input": fm.Mixup()}, seed=0
        ),
    }
    for name, thing in things.items():
        fm.save(thing, folder / name)
    return [(folder / name).read_text() for name in things]


def read(path, data):
    """How a file is taken: ``read``, or the error; everything that Python reported meanwhile."""
    path.write_bytes(data)
    with WATCH.watching() as seen:
        try:
            fm.load(path)
            outcome = "read"
        except fm.FeatmixError as error:
            outcome = error
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
    return outcome, list(seen)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_executed_or_imported_whatever_is_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = good_files(tmp_path)
    path = tmp_path / "fuzzed.yaml"
    for text in texts:  # imports what good files need, once
        assert read(path, text.encode())[0] == "read"
    assert repr(torch.zeros(1))  # as well as what torch needs to show a tensor in a message
    modules, environment, outcomes = set(sys.modules), dict(os.environ), Counter()
    for number, data in enumerate(mutants(texts, FILES, seed=0)):
        outcome, seen = read(path, data)
        assert not isinstance(outcome, str) or outcome == "read", f"file {number}: {outcome}\n{data!r}"
        assert not [what for what in seen if not harmless(what, path)], f"file {number} did {seen}\n{data!r}"
        outcomes["read" if outcome == "read" else "refused"] += 1
        if outcome != "read":
            assert str(outcome).startswith(str(path)), f"file {number}: {outcome}"
            assert len(str(outcome)) < 2500, f"file {number}: {outcome}"
    assert set(sys.modules) == modules
    assert dict(os.environ) == environment
    assert not (tmp_path / CANARY).exists()
    assert outcomes["refused"] > 0.7 * FILES  # most changes break something,
    assert outcomes["read"] > 0.02 * FILES  # and some do not: the files are near enough to good ones


def harmless(what, path):
    """Reading the file itself, and nothing else."""
    event, arguments = what
    return event == "open" and arguments.startswith(f"('{path}', 'r")


@pytest.mark.parametrize(
    ("word", "event"),
    [
        (WORDS[0], "os.system"),
        (WORDS[1], "subprocess.Popen"),
        (WORDS[2], "exec"),
        ("!!python/module:colorsys", "import"),
        ("!!python/object/apply:os.putenv [FUZZ, x]", "os.putenv"),
        ("!!python/object/apply:os.mkdir [made]", "os.mkdir"),
    ],
)
def test_the_watch_sees_what_such_words_do_elsewhere(word, event, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with WATCH.watching() as seen, contextlib.suppress(Exception):
        yaml.load(f"a: {word}", Loader=yaml.UnsafeLoader)
    assert event in {what for what, _ in seen}
    with pytest.raises(fm.FeatmixError, match="no tags"):
        parse(f"a: {word}", Place("f"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "key", ["sample", "batch", "mix", "seed", "strategy", "tree", "versions", "featmix", "class", "normalizer"]
)
def test_every_hostile_value_in_every_place(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in VALUES:
        try:
            made = fm.from_dict({key: value})
        except fm.FeatmixError as error:
            argument = error.argument
            blamed = not argument or argument.startswith(key)
        else:
            argument = type(made).__name__
            blamed = isinstance(made, fm.Pipeline | fm.Strategy | fm.At | fm.Normalizer | nn.Module)
        assert blamed, (value, argument)
    assert not (tmp_path / CANARY).exists()
