from kornia import augmentation as K
from torch import nn

from featmix.configuration.arguments import members_of, names_of, possible_arguments


def first(thing):
    return next(possible_arguments(thing))


def test_arguments_are_attributes():
    assert first(nn.Dropout(0.25)) == {"p": 0.25, "inplace": False}


def test_or_flags_of_kornia_or_what_its_generator_holds():
    found = first(K.RandomCrop((4, 5), padding=2, p=1.0))
    assert (found["size"], found["padding"], found["p"]) == ((4, 5), 2, 1.0)
    assert first(K.RandomAffine((-10.0, 20.0), translate=(0.1, 0.2)))["translate"] == (0.1, 0.2)


def test_or_the_ranges_that_its_generator_draws_from():
    assert first(K.RandomRotation(15.0))["degrees"] == 15.0
    found = first(K.RandomSolarize((0.2, 0.3), (0.0, 0.1)))
    assert (found["thresholds"], found["additions"]) == ((0.2, 0.3), (0.0, 0.1))


def test_one_that_is_missing_may_be_anything_that_is_held():
    guesses = [guess.get("max_size") for guess in possible_arguments(K.LongestMaxSize(17))]
    assert guesses[0] is None
    assert 17 in guesses


def test_members_are_those_of_a_container():
    members = [nn.Identity(), nn.Flatten()]
    assert members_of(nn.Sequential(*members)) == members
    assert members_of(nn.Dropout()) is None
    assert names_of(nn.Sequential) == []
