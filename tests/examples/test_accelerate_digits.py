from tests.examples.running import run


def test_it_learns_and_a_resumed_run_is_the_same():
    found = run("accelerate_digits", epochs=3, limit=640)
    assert found["differs"] == 0
    assert found["resumed steps"] == 20
    assert found["accuracy"] > 0.5
