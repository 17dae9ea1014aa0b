import pytest

from featmix.configuration.place import Place, shown


def test_a_path_names_the_way():
    place = Place("aug.yaml").key("mix").key("compose").item(1).key("strategy").key("norm")
    error = place.refuse("a normalizer", "'pomo'", "Did you mean 'pono'?")
    assert error.argument == "mix.compose[1].strategy.norm"
    assert str(error) == "aug.yaml: mix.compose[1].strategy.norm: expected a normalizer, got 'pomo'. Did you mean 'pono'?"


@pytest.mark.parametrize(
    ("key", "path"),
    [("layer1.0", "sites['layer1.0']"), ("gn-d", "sites.gn-d"), ("", "sites['']"), ("a" * 50, "sites['" + "a" * 50 + "']")],
)
def test_a_key_that_is_no_word_is_quoted(key, path):
    assert Place("f").key("sites").key(key).path == path


def test_what_came_is_shown_by_its_beginning():
    assert len(shown("x" * 10_000)) < 100
    assert len(str(Place("f").key("x" * 10_000).refuse("less", "y" * 10_000))) < 600
