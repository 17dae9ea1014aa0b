"""Where runs are made, in words."""

import pytest

from featmix import FeatmixError
from featmix.compare.executors import Place, chosen_place, chosen_resources, make_executor
from featmix.compare.pool import Pool
from featmix.compare.settings import Settings


def test_places():
    assert chosen_place("local") == Place()
    assert chosen_place("ray") == Place("ray")
    assert chosen_place("ray:ray://head:10001") == Place("ray", "ray://head:10001")


@pytest.mark.parametrize("text", ["rays", "ray:", "local:x", "", None, "Ray"])
def test_places_that_are_none(text):
    with pytest.raises(FeatmixError, match="ray:ADDRESS"):
        chosen_place(text)


def test_resources():
    assert chosen_resources("", Settings()) == {"num_cpus": 1}
    assert chosen_resources("", Settings(devices=2)) == {"num_cpus": 2}
    assert chosen_resources("cpu=2, gpu=0.5, memory=1.5G", Settings()) == {"num_cpus": 2, "num_gpus": 0.5, "memory": 3 << 29}


@pytest.mark.parametrize("text", ["cpu", "cpu=", "cpu=-1", "cpu=1,cpu=2", "gpu=1G", "disk=1", "cpu=1e9", "memory=1T"])
def test_resources_that_are_none(text):
    with pytest.raises(FeatmixError, match="resources"):
        chosen_resources(text, Settings())


def test_processes_of_this_machine_are_given_no_resources():
    assert isinstance(make_executor(Place(), 2, Settings()), Pool)
    with pytest.raises(FeatmixError, match="--executor ray"):
        make_executor(Place(), 2, Settings(), "cpu=1")
