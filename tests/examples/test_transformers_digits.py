from tests.examples.running import run


def test_it_learns():
    found = run("transformers_digits", epochs=3)
    assert found["steps"] == 132  # of two parts each
    assert found["accuracy"] > 0.2
    assert found["loss"] < 2.1
