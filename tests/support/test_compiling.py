"""What is compiled, run as plain Python for a while."""

import threading

import torch

from featmix.support.compiling import uncompiled


def graphs(seen):
    return torch.compile(lambda x: x + 1, backend=lambda graph, _: seen.append(graph) or graph.forward)


def test_nothing_is_compiled_within_and_all_is_behind():
    seen, x = [], torch.ones(2)
    function = graphs(seen)
    with uncompiled(), uncompiled():
        assert torch.equal(function(x), x + 1)
    assert not seen
    assert torch.equal(function(x), x + 1)
    assert len(seen) == 1


def test_threads_that_overlap_leave_the_compiler_as_it_was():
    seen, x, both = [], torch.ones(2), threading.Barrier(2)
    function = graphs(seen)

    def first():
        with uncompiled():
            both.wait()  # the other one is within
        both.wait()  # and goes on when this one has left

    def second():
        with uncompiled():
            both.wait()
            both.wait()

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    function(x)
    assert len(seen) == 1
