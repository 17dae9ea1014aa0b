"""Writing takes as many steps as there are entries: each object is written and made a few times, however deep it stands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from kornia import augmentation as K
from torch import nn

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from featmix.configuration import albumentations_part, objects, once
from featmix.configuration.allowed import allow
from featmix.configuration.place import Place
from featmix.configuration.values import write
from tests.interop.real_torchvision import torchvision_or_skip

HERE = Place("to_dict")


def deep(inner, wrap, depth):
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def torchvision_list(depth):
    v2 = torchvision_or_skip("torchvision.transforms.v2")
    return deep(v2.RandomHorizontalFlip(), lambda inner: v2.Compose([inner, v2.RandomCrop(4)]), depth)


CONTAINERS = {
    "torchvision": (torchvision_list, 11),
    "torch": (lambda depth: deep(K.RandomAffine(15.0), lambda inner: nn.Sequential(inner, K.RandomAffine(3.0)), depth), 20),
    "kornia": (lambda depth: deep(K.RandomAffine(15.0), lambda inner: K.ImageSequential(inner), depth), 12),
}


def counted(monkeypatch, module, name):
    """How often a function is called, by its own name."""
    calls, function = [], getattr(module, name)

    def wrapped(*arguments, **keywords):
        calls.append(arguments)
        return function(*arguments, **keywords)

    monkeypatch.setattr(module, name, wrapped)
    return calls


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", CONTAINERS)
def test_each_level_costs_as_much_as_the_one_above(kind, monkeypatch):
    """Every container used to be written and made twice for each level above it: 2^11 times at the bottom of eleven."""
    build, depth = CONTAINERS[kind]
    made = counted(monkeypatch, objects, "_with_arguments")
    built = counted(monkeypatch, objects, "built")
    spent = []
    for levels in (depth // 2, depth):
        made.clear()
        built.clear()
        pipeline = fm.Pipeline(batch=build(levels))
        written = fm.to_dict(pipeline)
        spent.append((len(made), len(built)))
        assert fm.to_dict(fm.from_dict(written)) == written
    (few_made, few_built), (made_by_all, built_by_all) = spent
    assert made_by_all <= 2.5 * few_made
    assert built_by_all <= 2.5 * few_built


def test_albumentations_is_made_as_often_as_arguments_have_to_be_left_out(monkeypatch):
    made = counted(monkeypatch, albumentations_part, "_made")

    def nested(depth):
        return deep(A.HorizontalFlip(), lambda inner: A.Sequential([inner, A.PixelDropout(), A.GaussNoise()]), depth)

    spent = []
    for depth in (2, 10):
        made.clear()
        written = fm.to_dict(fm.Pipeline(sample=A.Compose([nested(depth)])))
        spent.append(len(made))
        assert fm.to_dict(fm.from_dict(written)) == written
    assert spent[0] == spent[1] <= 4


@allow
class Louder(nn.Module):
    """A container that changes what it is given, each time that it is made."""

    def __init__(self, *members):
        super().__init__()
        self.members = nn.ModuleList(members)
        for member in members:
            member.by = member.by * 2
        for i, member in enumerate(members):
            self.add_module(str(i), member)
        del self._modules["members"]


@allow
class Loud(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by


def test_a_container_that_changes_its_members_is_refused():
    """Of its file the members would come back as twice what they are: the whole is made anew, and compared, at the end."""
    with pytest.raises(fm.FeatmixError, match="a Louder that can be made again from its arguments, got one with another"):
        write(Louder(Loud(1.0)), HERE)


def test_nothing_is_remembered_beyond_one_object():
    write(nn.Sequential(K.RandomHorizontalFlip()), HERE)
    assert once._now.get() is None
    with pytest.raises(fm.FeatmixError):
        write(nn.Sequential(nn.Linear(2, 2)), HERE)
    assert once._now.get() is None


def test_what_is_shared_in_code_is_counted_for_each_place():
    """Twenty-four levels that hold the same member twice are a million entries in a file."""
    bomb = deep(K.RandomHorizontalFlip(), lambda inner: nn.Sequential(inner, inner), 20)
    with pytest.raises(fm.FeatmixError, match="at most 500 dictionaries"):
        fm.to_dict(fm.Pipeline(batch=bomb))


SIZES = """
import resource, sys, warnings
warnings.simplefilter("ignore")
import featmix as fm
from featmix.errors import FeatmixError

resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for text in (
    "[" * 500_000,
    "[[],[],[],[],[],[],[],[]," * 40_000,
    "- a\\n" * 250_000,
    "a: &a [1]\\n" + "b: *a\\n" * 10,
    "{" + ", ".join(f"k{i}: 1" for i in range(100_000)) + "}",
    "tensor: [" + "1, " * 300_000 + "1]",
    "strategy: {name: " + "m" * 900_000 + "}",
    "a: " + "9" * 900_000,
    "a: 0." + "0" * 900_000 + "1",
    "# " + "x" * 900_000 + "\\nstrategy: {name: moex}",
    "versions: {" + ", ".join(f"p{i}: '1'" for i in range(300)) + "}\\nstrategy: {name: moex}",
    "tree: {sites: {" + ", ".join(f"s{i}: {{name: moex}}" for i in range(480)) + "}}",
    "? " * 300_000,
    "!!str " * 100_000,
    "'" + "a" * 900_000,
):
    path = sys.argv[1]
    with open(path, "w") as file:
        file.write(text[: 10**6])
    try:
        made = fm.load(path)
        fm.save(made, path)
        repr(made)
    except FeatmixError as error:
        assert len(str(error)) < 2500
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_megabyte_of_anything_takes_little_memory(tmp_path):
    done = subprocess.run([sys.executable, "-c", SIZES, str(tmp_path / "f.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 100_000  # KiB
