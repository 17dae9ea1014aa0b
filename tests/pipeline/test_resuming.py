"""A run that is resumed, amid an epoch too, is bit for bit the one that went on."""

import copy
import importlib
import io
import os

import numpy as np
import pytest
import torch
from torch import Generator
from torch.nn import functional as F
from torch.utils.data import ChainDataset, DistributedSampler, IterableDataset, WeightedRandomSampler, get_worker_info

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm
from tests.attaching import net

WORKERS = {"0": {}, "2": {"num_workers": 2}, "persistent": {"num_workers": 2, "persistent_workers": True}}
TRAIN = [(np.full((8, 8, 3), number, np.uint8), number % 5) for number in range(12)]


def noisy(x):
    return x + torch.rand_like(x)


class Training:
    """A loop with everything in it that draws, and a record of all that it gave to the model."""

    def __init__(self, seed=0, source=TRAIN, **settings):
        sample = A.Compose([A.GaussNoise(std_range=(0.2, 0.4), p=1)])
        self.pipeline = fm.Pipeline(sample=sample, batch=noisy, mix={"input": fm.Mixup(), "layer1": fm.MoEx()}, seed=seed)
        self.loader = self.pipeline.loader(source, batch_size=2, **settings)
        self.model = net()
        self.mixer = self.pipeline.attach(self.model)
        self.sampler = self.loader.sampler

    def step(self, images, labels):
        x = self.mixer.prepare(images)
        mix = self.mixer.draw(x, target=labels)
        with torch.set_grad_enabled(True):
            loss = mix.loss(F.cross_entropy, self.model(x), labels)
        return [labels.tolist(), *(value.detach().numpy().tobytes() for value in (images, x, mix.mixture.matrix(), loss))]

    def epochs(self, count, *, stop=None):
        """The record; with `stop`, of so many steps, and the state then."""
        seen = []
        for _ in range(count):
            for images, labels in self.loader:
                seen.append(self.step(images, labels))
                if len(seen) == stop:
                    return seen, saved({"pipeline": self.pipeline.state_dict(), "mixer": self.mixer.state_dict()})
        return seen

    def load(self, state):
        self.pipeline.load_state_dict(state["pipeline"])
        self.mixer.load_state_dict(state["mixer"])
        return self


def saved(state):
    """The state as a file gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def as_rank(monkeypatch, number):
    for module in ("mixer.mixer", "pipeline.mixer", "pipeline.streams", "pipeline.numbering"):
        monkeypatch.setattr(importlib.import_module(f"featmix.{module}"), "rank", lambda: number)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_resumed_run_is_bit_for_bit_the_one_that_went_on(workers):
    whole = Training(shuffle=True, **WORKERS[workers]).epochs(3)
    assert len({step[1] for step in whole}) == 18
    assert [step[0] for step in whole[:6]] != [step[0] for step in whole[6:12]]
    for stop in (8, 12):  # amid the second epoch, and at its last step
        before, state = Training(shuffle=True, **WORKERS[workers]).epochs(3, stop=stop)
        assert before == whole[:stop]
        again = Training(shuffle=True).load(state)  # whatever the number of workers was
        assert (again.loader.epoch, again.loader.position().position) == (1, stop - 6)
        assert again.epochs(2) == whole[stop:]
    resumed = Training(shuffle=True, **WORKERS[workers]).load(Training(shuffle=True).epochs(3, stop=8)[1])
    assert resumed.epochs(2) == whole[8:]


@pytest.mark.parametrize("told", [True, False], ids=["set_epoch is called", "set_epoch is forgotten"])
def test_two_ranks_resume_each_its_own(told, monkeypatch):
    runs, orders = {}, {}
    for number in (0, 1):
        as_rank(monkeypatch, number)

        def training(number=number):
            return Training(sampler=DistributedSampler(TRAIN, num_replicas=2, rank=number, seed=3), num_workers=2 * number)

        def run(made, first, stop=None):
            seen = []
            for epoch in range(first, 2):
                if told:
                    made.sampler.set_epoch(epoch)
                for images, labels in made.loader:
                    seen.append(made.step(images, labels))
                    if len(seen) == stop:
                        return seen, {"pipeline": made.pipeline.state_dict(), "mixer": made.mixer.state_dict()}
            return seen

        runs[number] = whole = run(training(), 0)
        before, state = run(training(), 0, stop=4)
        assert before == whole[:4]
        assert run(training().load(state), 1) == whole[4:]
        orders[number] = [step[0] for step in whole]
    assert not {step[1] for step in runs[0]} & {step[1] for step in runs[1]}
    assert orders[0][:3] != orders[0][3:]  # a forgotten set_epoch would repeat the first epoch


def test_one_rank_s_state_is_enough_for_all(monkeypatch):
    _, state = Training(shuffle=True).epochs(2, stop=8)
    as_rank(monkeypatch, 1)
    whole = Training(shuffle=True).epochs(2)
    assert Training(shuffle=True).load(state).epochs(1) == whole[8:]


def test_without_a_seed_an_epoch_is_finished_as_it_was_begun():
    torch.manual_seed(7)
    training = Training(seed=None, shuffle=True)
    whole = training.epochs(1)
    torch.manual_seed(7)
    before, state = Training(seed=None, shuffle=True).epochs(1, stop=2)
    assert before == whole[:2]
    torch.manual_seed(8)
    missing = {**state["pipeline"], "streams": {"0": {**state["pipeline"]["streams"]["0"], "drawn": None}}}
    with pytest.raises(fm.FeatmixError, match=r"streams\.0\.drawn: expected a number, for a pipeline without a seed, got None"):
        Training(seed=None).pipeline.load_state_dict(missing)
    assert Training(seed=None, shuffle=True).load(state).epochs(1) == whole[2:]


class Numbers(IterableDataset):
    """Images in order, each worker its own share."""

    def __iter__(self):
        info = get_worker_info()
        return iter(TRAIN if info is None else TRAIN[info.id :: info.num_workers])


@pytest.mark.parametrize("workers", WORKERS)
def test_an_iterable_data_set_is_read_again_up_to_there(workers):
    def training():
        return Training(source=ChainDataset([Numbers()]), **WORKERS[workers])

    whole = training().epochs(3)
    _, state = training().epochs(3, stop=8)
    assert training().load(state).epochs(2) == whole[8:]


def test_generators_of_ones_own_resume_too():
    def training():
        sampler = WeightedRandomSampler(torch.ones(12), 12, generator=Generator().manual_seed(5))
        return Training(sampler=sampler)

    whole = training().epochs(3)
    _, state = training().epochs(3, stop=8)
    assert training().load(state).epochs(2) == whole[8:]


def test_a_loop_that_was_left_early_goes_on_there_and_the_next_pass_is_the_next_epoch():
    whole = Training(shuffle=True).epochs(2)
    one = Training(shuffle=True)
    for number, batch in enumerate(one.loader, start=1):
        one.step(*batch)
        if number == 2:
            break
    state = {"pipeline": one.pipeline.state_dict(), "mixer": one.mixer.state_dict()}
    assert Training(shuffle=True).load(state).epochs(1) == whole[2:6]
    assert [labels.tolist() for _, labels in one.loader] == [step[0] for step in whole[6:]]


def test_a_state_can_be_loaded_before_anything_is_made_and_numbers_go_on_from_there():
    def run(pipeline, loaders=2):
        return [
            [image.numpy().tobytes() for images, _ in pipeline.loader(TRAIN[:2]) for image in images] for _ in range(loaders)
        ]

    one = fm.Pipeline(sample=lambda image: image + np.random.rand(), seed=0)
    kept, (first, second) = one.loader(TRAIN), run(one)
    next(iter(kept))
    state = saved(one.state_dict())
    third = run(one, 1)
    assert len({*first, *second, *third[0]}) == 6
    for order in ("loaded first", "made first"):
        other = fm.Pipeline(sample=lambda image: image + np.random.rand(), seed=0)
        if order == "loaded first":
            other.load_state_dict(state)
        resumed = other.loader(TRAIN)
        if order == "made first":
            other.load_state_dict(state)
        assert resumed.position().position == 1
        assert run(other, 1) == third
    other = fm.Pipeline(seed=0)
    other.load_state_dict({**state, "streams": {"2": state["streams"]["0"]}})
    with pytest.raises(
        fm.FeatmixError, match=r"expected data set 2 of the state that was loaded, got data set 0\. Make data sets"
    ):
        other.loader(TRAIN)


def test_data_sets_without_a_loader_resume_too():
    pipelines = [fm.Pipeline(sample=lambda image: image + np.random.rand(), seed=0) for _ in range(2)]
    datasets = [pipeline.dataset(TRAIN) for pipeline in pipelines]
    drawn = [datasets[0][k][0].tobytes() for k in range(3)]
    pipelines[1].load_state_dict(pipelines[0].state_dict())
    assert datasets[1][3][0].tobytes() == datasets[0][3][0].tobytes() not in drawn


def test_another_order_is_refused():
    _, state = Training(shuffle=True).epochs(2, stop=8)
    for settings in ({"shuffle": False}, {"shuffle": True, "source": TRAIN + TRAIN}):
        with pytest.raises(fm.FeatmixError, match="expected the order of the run that was saved"):
            Training(**settings).load(state).epochs(1)
    with pytest.raises(
        fm.FeatmixError, match=r"Pipeline\.loader: expected more than 2 batches in an epoch, got 1\. Give the loader"
    ):
        Training(shuffle=True, source=TRAIN[:2]).load(state).epochs(1)
    with pytest.raises(fm.FeatmixError, match="expected more than 2 batches in an epoch, got 0"):
        Training(source=ChainDataset([])).load(state).epochs(1)


def test_batches_in_any_order_have_no_position():
    training = Training(in_order=False, num_workers=1)
    assert training.pipeline.state_dict()["streams"]["0"]["position"] == 0
    batches = iter(training.loader)
    next(batches)
    with pytest.raises(
        fm.FeatmixError, match=r"Pipeline\.state_dict: expected batches in order, got a loader with in_order=False"
    ):
        training.pipeline.state_dict()


STREAM = {"taken": 0, "epoch": 1, "position": 2, "drawn": None, "order": 5, "generators": []}
GOOD = {"seed": 0, "rank": 0, "datasets": 1, "streams": {"0": STREAM}}


@pytest.mark.parametrize(
    "state",
    [
        None,
        3,
        {},
        {**GOOD, "more": 1},
        {**GOOD, "seed": 1},
        {**GOOD, "seed": None},
        {**GOOD, "seed": "0"},
        {**GOOD, "rank": -1},
        {**GOOD, "rank": 0.5},
        {**GOOD, "datasets": True},
        {**GOOD, "datasets": 0},
        {**GOOD, "streams": []},
        {**GOOD, "streams": {}},
        {**GOOD, "streams": {"1": STREAM}},
        {**GOOD, "datasets": 2, "streams": {"1": STREAM}},
        *({**GOOD, "streams": {name: STREAM}} for name in (0, "00", "-1", "²", "9" * 30, "x", None)),
        *({**GOOD, "streams": {"0": entry}} for entry in (None, [], {}, {**STREAM, "more": 1})),
        *({**GOOD, "streams": {"0": {**STREAM, name: bad}}} for name in STREAM for bad in (-1, 0.5, "1", True, 2**64, [3])),
        *(
            {**GOOD, "streams": {"0": {**STREAM, "generators": bad}}}
            for bad in ([torch.zeros(3)], [torch.zeros(5056, dtype=torch.uint8)], [Generator().get_state()], None)
        ),
        {**GOOD, "datasets": 2, "streams": {"0": STREAM, "1": {**STREAM, "epoch": "x"}}},
        {**GOOD, "streams": {"0": {**STREAM, "drawn": 3}}},
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(state):
    training = Training(shuffle=True)
    batches = iter(training.loader)
    next(batches)
    before = copy.deepcopy(training.pipeline.state_dict())
    with pytest.raises(fm.FeatmixError):
        training.pipeline.load_state_dict(state)
    assert training.pipeline.state_dict() == before
    training.pipeline.load_state_dict(GOOD)
