"""Many tensors in one copy."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from featmix.support.packing import packed, sent


class Copies(TorchDispatchMode):
    """Counts what is copied from one device to another."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket is torch.ops.aten._to_copy and result.device != args[0].device:
            self.sizes.append(args[0].nbytes)
        return result


DTYPES = [
    *(torch.float64, torch.int64, torch.float32, torch.int32, torch.float16, torch.bfloat16, torch.uint8, torch.bool),
    torch.int16,  # is not packed: it goes by itself
]


def values(dtype, *shape, seed=0):
    drawn = torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype)


def test_all_of_a_decisions_tensors_go_in_one_copy():
    tensors = [values(torch.int64, 5), values(torch.bool, 5), values(torch.float32, 5, 2), values(torch.float32, 5)]
    with Copies() as copies:
        there = sent(tensors, "meta")
    assert len(copies.sizes) == 1
    assert copies.sizes[0] <= sum(t.nbytes for t in tensors) + len(tensors) * 16
    assert [(t.shape, t.dtype, t.device.type) for t in there] == [(t.shape, t.dtype, "meta") for t in tensors]
    assert len({t.untyped_storage()._cdata for t in there}) == 1


def test_order_is_kept_whatever_lies_between():
    tensors = [values(dtype, *shape) for shape in [(3,), (2, 2), (1, 4, 1)] for dtype in DTYPES]
    there = sent(tensors, "meta")
    assert [(t.shape, t.dtype) for t in there] == [(t.shape, t.dtype) for t in tensors]
    assert all(t.is_contiguous() for t in there)


@pytest.mark.parametrize("count", [1, 3, 7, 16])
def test_what_arrives_is_what_was_sent(count):
    """On the host itself, where values can be looked at."""
    tensors = [values(dtype, count, *more, seed=k) for k, more in enumerate([(), (2,), (1, 3)]) for dtype in DTYPES[:-1]]
    there = packed(tensors, torch.device("cpu"))
    for t, found in zip(tensors, there, strict=True):
        assert found.dtype == t.dtype
        assert torch.equal(found, t)


def test_parts_of_the_buffer_are_aligned():
    tensors = [values(dtype, 3) for dtype in DTYPES[:-1]]
    found = packed(tensors, torch.device("cpu"))
    starts = sorted(t.untyped_storage().data_ptr() + t.storage_offset() * t.element_size() for t in found)
    assert all((start - starts[0]) % 16 == 0 for start in starts)
    assert len(starts) == len(set(starts))


def test_views_are_packed_by_their_values():
    base = torch.arange(24).view(4, 6)
    tensors = [base.t(), base[:, ::2], base[1:2].expand(3, 6)]
    there = packed(tensors, torch.device("cpu"))
    assert all(torch.equal(found, t) for found, t in zip(there, tensors, strict=True))
    assert all(found.is_contiguous() for found in there)


def test_empty_tensors_and_dtypes_that_are_not_packed_arrive_too():
    tensors = [values(torch.int64, 0), values(torch.int16, 3), values(torch.float32, 0, 2), values(torch.bool, 2)]
    there = sent(tensors, "meta")
    assert [(t.shape, t.dtype, t.device.type) for t in there] == [(t.shape, t.dtype, "meta") for t in tensors]
    assert sent([], "meta") == []
    assert sent([values(torch.int64, 0)], "meta")[0].device.type == "meta"


def test_tensors_that_are_there_already_stay():
    on_device = torch.empty(3, device="meta")
    tensors = [values(torch.int64, 3), on_device, values(torch.bool, 3)]
    with Copies() as copies:
        there = sent(tensors, "meta")
    assert there[1] is on_device
    assert len(copies.sizes) == 1
    on_host = [values(torch.int64, 3), values(torch.bool, 3)]
    assert all(a is b for a, b in zip(sent(on_host, "cpu"), on_host, strict=True))


def test_the_same_tensor_twice_arrives_twice():
    t = values(torch.int64, 3)
    there = sent([t, values(torch.bool, 2), t], "meta")
    assert [x.shape for x in there] == [(3,), (2,), (3,)]


def test_a_single_tensor_is_simply_copied():
    with Copies() as copies:
        (there,) = sent([values(torch.float32, 5)], torch.device("meta"))
    assert there.shape == (5,)
    assert copies.sizes == [20]


class Operations(TorchDispatchMode):
    """Counts what the dispatcher sees."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_few_operations_cut_the_buffer():
    """Partners, takers and two mixtures' rows, shares, gates and boxes: what a step of two strategies sends."""
    flat = [values(dtype, 128) for dtype in (torch.int64, torch.float32, torch.bool) for _ in range(3)]
    wide = [values(torch.int64, 128, 4), values(torch.float32, 128, 4), values(torch.int64, 128, 2, 2)]
    with Operations() as operations:
        sent([*flat, *wide], "meta")
    looks = len([*flat, *wide]) + 1  # numpy() is seen as an operation of each tensor and of the buffer
    assert operations.count - looks <= 14


def test_rows_that_share_their_memory_go_once():
    mask = values(torch.bool, 1, 1, 64, 64).expand(32, 1, 64, 64)
    with Copies() as copies:
        (there, _) = sent([mask, values(torch.int64, 3)], "meta")
    assert there.shape == mask.shape
    assert copies.sizes[0] <= 64 * 64 + 3 * 8 + 32
