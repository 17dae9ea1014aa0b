from tests.examples.running import run


def test_it_learns_mixed_and_plain():
    mixed, plain = (run("lightning_digits", epochs=3, mixed=mixed) for mixed in (True, False))
    assert mixed["accuracy"] > 0.75
    assert mixed["last_loss"] < mixed["first_loss"]
    assert plain["last_loss"] < mixed["last_loss"] / 2  # mixed labels leave a loss that no network gets rid of
