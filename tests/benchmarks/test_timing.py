from benchmarks.timing import Stopwatch, timing


def test_competitors_take_turns():
    order = []
    Stopwatch(seconds=0.0, rounds=3).race({"one": lambda: order.append(1), "other": lambda: order.append(2)})
    changes = sum(before != after for before, after in zip(order, order[1:], strict=False))
    assert changes == 7  # once each to warm up, then three rounds of two


def test_every_run_counts():
    found = Stopwatch(seconds=0.0, rounds=2).race({"one": lambda: None})
    assert found["one"].runs >= 2
    assert found["one"].median > 0


def test_pairs_leave_warming_up_out():
    calls = []
    one, other = Stopwatch().pairs(lambda: calls.append(1), lambda: calls.append(2), 4)
    assert len(one) == len(other) == 4
    assert len(calls) >= 12


def test_median_and_spread():
    found = timing([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.median, found.iqr, found.runs) == (3.0, 2.0, 5)
