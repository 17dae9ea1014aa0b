from dataclasses import dataclass

import pytest
import torch

import featmix as fm
from featmix import schedule
from featmix.configuration import allowed
from featmix.configuration.kinds import _HELD
from featmix.configuration.place import Place
from featmix.configuration.values import read, write
from featmix.testing.instances import every_normalizer

HERE = Place("f")
SCHEDULES = [
    schedule.constant(0.5),
    schedule.linear(0, 0.5),
    schedule.cosine(1.0, 0),
    schedule.switch_off(schedule.switch_off(schedule.linear(0, 1), at=0.5, value=0.25), at=0.9),
]


@pytest.mark.parametrize("value", SCHEDULES, ids=repr)
def test_schedules_come_back(value):
    assert repr(read(write(value, HERE), HERE)) == repr(value)
    assert fm.from_dict(fm.to_dict(value)) == value


def test_a_number_may_stand_before_a_switch():
    assert read({"switch_off": {"before": 0.5, "at": 0.9}}, HERE) == schedule.switch_off(0.5, at=0.9)


def test_every_schedule_is_known():
    kinds = {cls for cls in vars(schedule).values() if isinstance(cls, type) and issubclass(cls, schedule.Schedule)}
    inner = [
        s
        for value in SCHEDULES
        for s in (value, getattr(value, "before", None), getattr(getattr(value, "before", 0), "before", None))
    ]
    assert kinds - {schedule.Schedule} <= {type(s) for s in inner}


def test_every_normalizer_comes_back():
    for value in every_normalizer():
        assert fm.from_dict(fm.to_dict(value)) == value


def test_a_normalizer_of_ones_own_is_refused():
    class Mine(type(fm.normalizer("in"))):
        pass

    with pytest.raises(fm.FeatmixError, match=r"normalizer: expected a normalizer that featmix\.normalizer makes"):
        fm.to_dict(Mine())


@pytest.mark.parametrize("dtype", list(_HELD))
def test_tensors_come_back(dtype):
    for value in (torch.tensor([[0.1, 2.5], [1 / 3, 0.0]]).to(dtype), torch.tensor(1).to(dtype)):
        again = read(write(value, HERE), HERE)
        assert again.dtype == dtype
        assert torch.equal(again, value)


def test_a_float32_is_written_by_its_shortest_number():
    assert write(torch.tensor([0.1]), HERE) == {"tensor": [0.1], "dtype": "float32"}


def test_dtypes_come_back():
    assert read(write(torch.bfloat16, HERE), HERE) is torch.bfloat16


@pytest.mark.parametrize("value", [torch.ones(1, dtype=torch.complex64), torch.ones(1, requires_grad=True)])
def test_other_tensors_are_refused(value):
    with pytest.raises(fm.FeatmixError, match="a tensor without gradient, one of float32, float64, float16, bfloat16"):
        write(value, HERE)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"linear": 1}, "linear", "the fields of linear: start, end"),
        ({"linear": {"start": 0, "finish": 1}}, "linear.finish", "a field of linear"),
        ({"linear": {"start": 0}}, "linear", "what linear can be made with"),
        ({"linear": {"start": 0, "end": "x"}}, "linear.end", "a finite number"),
        ({"switch_off": {"before": "x", "at": 0.5, "value": 0}}, "switch_off.before", "a finite number"),
        (
            {"switch_off": {"before": {"constant": {"value": True}}, "at": 0.5}},
            "switch_off.before.constant.value",
            "finite number",
        ),
        ({"normalizer": {"name": "pomo"}}, "normalizer.name", "Did you mean 'pono'"),
        ({"normalizer": {"name": "in", "layout": 3}}, "normalizer.layout", "got 3"),
        ({"normalizer": {"name": "in", "depth": 3}}, "normalizer.depth", "a setting of a normalizer"),
        ({"normalizer": {}}, "normalizer", "what normalizer can be made with"),
        ({"tensor": ["x"]}, "tensor[0]", "what the dtype holds, got 'x'"),
        ({"tensor": [0.5], "dtype": "int64"}, "tensor[0]", "what the dtype holds, got 0.5"),
        ({"tensor": [True]}, "tensor[0]", "what the dtype holds, got True"),
        ({"tensor": [1], "dtype": "bool"}, "tensor[0]", "what the dtype holds, got 1"),
        ({"tensor": [300], "dtype": "uint8"}, "", "what tensor can be made with"),
        ({"tensor": [1e6], "dtype": "float16"}, "tensor", "numbers that float16 holds"),
        ({"tensor": [1], "dtype": "complex64"}, "dtype", "one of float32.*got complex64"),
        ({"tensor": [1, [2]]}, "", "what tensor can be made with"),
        ({"tensor": [1], "device": "meta"}, "device", "tensor and dtype"),
    ],
)
def test_refusals(value, path, message):
    with pytest.raises(fm.FeatmixError, match=message) as caught:
        read(value, HERE)
    assert caught.value.argument == path


@dataclass(frozen=True)
class StepUp(schedule.Schedule):
    at: float

    def __call__(self, progress):
        return float(progress >= self.at)

    def bounds(self):
        return 0.0, 1.0


def test_a_data_class_of_ones_own(monkeypatch):
    strategy = fm.MoEx(p=StepUp(0.5))
    with pytest.raises(fm.FeatmixError, match=r"strategy\.p: expected an object of a class that is allowed, got .*StepUp"):
        fm.to_dict(strategy)
    monkeypatch.setattr(allowed, "_THINGS", dict(allowed._THINGS))
    fm.configuration.allow(StepUp)
    assert fm.to_dict(strategy)["strategy"]["p"] == {"class": f"{__name__}.StepUp", "arguments": {"at": 0.5}}
    assert fm.from_dict(fm.to_dict(strategy)).p == StepUp(0.5)
