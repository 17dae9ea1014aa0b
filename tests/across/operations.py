"""Which collectives run, and how many bytes each gives to them."""

from collections import defaultdict
from contextlib import contextmanager

from torch.utils._python_dispatch import TorchDispatchMode


class _Collectives(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        if name.startswith("_c10d_functional") and "wait" not in name:
            self.found[name.partition("::")[2].partition(".")[0]].append(args[0].nbytes)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted():
    found = defaultdict(list)
    with _Collectives(found):
        yield found
