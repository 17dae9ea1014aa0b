"""torchdata's loader, which keeps a state by itself, over a pipeline's data sets."""

import os

import numpy as np
import pytest
from torch.utils.data import IterableDataset, get_worker_info

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations as A

import featmix as fm

torchdata = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
TRAIN = [(np.full((4, 4, 3), 128, np.uint8), number) for number in range(12)]


class Numbers(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        return iter(TRAIN if info is None else TRAIN[info.id :: info.num_workers])


class Stateful(Numbers):
    """The same, and it knows where it is."""

    taken = 0

    def __iter__(self):
        for item in list(super().__iter__())[self.taken :]:
            self.taken += 1
            yield item
        self.taken = 0

    def state_dict(self):
        return {"taken": self.taken}

    def load_state_dict(self, state):
        self.taken = state["taken"]


def loader(source, **settings):
    pipeline = fm.Pipeline(sample=A.Compose([A.GaussNoise(std_range=(0.2, 0.4), p=1)]), seed=0)
    return torchdata.StatefulDataLoader(pipeline.dataset(source), batch_size=2, collate_fn=pipeline.collate, **settings)


def batches(loader, epochs):
    for _ in range(epochs):
        for images, labels in loader:
            yield labels.tolist(), images.numpy().tobytes()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("source", [TRAIN, Numbers(), Stateful()], ids=["map", "iterable", "iterable with a state"])
def test_it_resumes_amid_an_epoch(source, workers):
    first = loader(source, shuffle=source is TRAIN or None, num_workers=workers)
    running = batches(first, 2)
    before = [next(running) for _ in range(8)]
    state = first.state_dict()
    after = list(running)
    assert len({image for _, image in [*before, *after]}) == 12
    again = loader(source, shuffle=source is TRAIN or None, num_workers=workers)
    again.load_state_dict(state)
    assert list(batches(again, 1)) == after


@pytest.mark.parametrize("state", [None, {}, {"taken": -1}, {"taken": 1, "source": {}}, {"taken": "1"}])
def test_a_data_set_refuses_a_state_that_is_none(state):
    dataset = fm.Pipeline().dataset(TRAIN)
    with pytest.raises(fm.FeatmixError, match=r"Transformed\.load_state_dict"):
        dataset.load_state_dict(state)
