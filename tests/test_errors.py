import copy
import pickle

import pytest

from featmix.errors import FeatmixError, nearest


def test_message_names_subject_argument_expectation_and_fix():
    error = FeatmixError("MoEx", "lam", expected="a number in [0, 1]", got=1.5, fix="0.9 will do.")
    assert str(error) == "MoEx: lam: expected a number in [0, 1], got 1.5. 0.9 will do."


def test_message_without_argument_and_fix():
    assert str(FeatmixError("attach", expected="a module", got="None")) == "attach: expected a module, got None."


def test_it_is_a_value_error_that_keeps_its_parts():
    error = FeatmixError("MoEx", "lam", expected="a number", got=[1], fix="Try one.")
    assert isinstance(error, ValueError)
    assert (error.subject, error.argument, error.expected, error.got, error.fix) == ("MoEx", "lam", "a number", [1], "Try one.")


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_survives_the_way_out_of_a_worker(again):
    error = FeatmixError("MoEx", "lam", expected="a number", got=lambda: None, fix="Try one.")  # what came need not pickle
    back = again(error)
    assert type(back) is FeatmixError
    assert str(back) == str(error)
    assert (back.subject, back.argument, back.expected, back.fix) == ("MoEx", "lam", "a number", "Try one.")


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("mxup", ["mixup", "cutmix"], "Did you mean 'mixup'?"),
        ("layer", ["layer2", "layer1", "layer1"], "Did you mean 'layer2' or 'layer1'?"),
        ("zzz", ["mixup", "cutmix"], "Known: cutmix, mixup."),
        ("zzz", [], "There are none."),
    ],
)
def test_nearest(name, known, sentence):
    assert nearest(name, known) == sentence
