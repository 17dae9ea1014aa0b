"""Compiles every program for a device that need not be there: ``python -m tests.kernels.gpu.compiled 90``."""

import itertools
import json
import sys

import torch

from featmix.kernels.gpu import column_programs, exchange, exchange_programs, moment_programs, row_programs, rows
from featmix.kernels.gpu.launch import Launch
from featmix.kernels.gpu.moments import _geometry, _tile
from featmix.kernels.gpu.plan import plan
from featmix.normalizers.kinds import normalizer
from tests.kernels.gpu.compiling import compiled, spilled, widths

TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
WHOLE, HALF = TYPES
GEOMETRY = ("outer1", "inner", "O0", "O1", "OI", "S0", "S1", "SI", "fast", "R0", "R1")
MOMENTS = {
    "moments_program": ("in", "fp32", "fp32", "fp32"),
    "merge_program": ("fp32",) * 5,
    "affine_program": ("in", "in", "fp32", "fp32", "u8"),
    "sums_program": ("in", "in", "fp32", "fp32", "fp32"),
    "combine_program": ("in", "in", "in", "fp32", "fp32", "fp32"),
}
SWITCHES = {"FINAL": (True, False), "SHIFTED": (True, False)}
MOMENT_CASES = {"pono": ((64, 64, 56, 56), (1,)), "ln of one": ((1, 64, 56, 56), (1, 2, 3))}
EXCHANGES = [  # normalizer, shape, channels_last, dtypes
    ("pono", (256, 256, 56, 56), False, (WHOLE, HALF)),
    ("pono", (64, 64, 56, 56), False, (HALF,)),
    ("pono", (256, 256, 56, 56), True, (HALF,)),
    ("pono", (64, 2048, 7, 7), False, (WHOLE,)),
    ("in", (256, 256, 56, 56), False, (HALF,)),
    ("in", (256, 64, 112, 112), False, (WHOLE, HALF)),
    ("in", (64, 64, 56, 56), True, (WHOLE, HALF)),
    ("ln", (64, 64, 56, 56), False, (HALF,)),
    ("ln", (1, 1, 1, 2), False, (WHOLE,)),  # many arguments are 1, and then constants
    ("gn32", (256, 256, 56, 56), True, (HALF,)),
]


def empty(shape, dtype, last=False):
    x = torch.empty(shape, dtype=dtype, device="meta")
    return x.contiguous(memory_format=torch.channels_last) if last else x


def moment_launches():
    """The programs for strategies that do more with moments than to blend them."""
    for name, pointers in MOMENTS.items():
        program = getattr(moment_programs, name)
        cases = MOMENT_CASES if "outer1" in program.arg_names else {"ln of one": MOMENT_CASES["ln of one"]}
        for (case, (shape, dims)), dtype in itertools.product(cases.items(), TYPES if "in" in pointers else (WHOLE,)):
            x = empty(shape, dtype)
            loops = plan(x, dims)
            known = dict(zip(GEOMETRY, _geometry(loops), strict=True), number=loops.elements, share=loops.share, BLOCK=128)
            known.update(_tile(loops), size=x.numel() // loops.elements, splits=loops.splits, divisor=0.5, eps=0.5)
            switches = [name for name in SWITCHES if name in program.arg_names]
            for chosen in itertools.product(*(SWITCHES[name] for name in switches)):
                values = {**known, **dict(zip(switches, chosen, strict=True))}
                arguments = tuple(values[argument] for argument in program.arg_names[len(pointers) :])
                tensors = tuple(TYPES[dtype] if kind == "in" else kind for kind in pointers)
                yield case, dtype, Launch(program, 1, arguments, loops.warps), tensors, 0


def exchange_launches():
    """Moment exchange: forward, and the gradient where moments are constants, and where rows have one taker, or several."""
    for norm, shape, last, dtypes in EXCHANGES:
        for dtype in dtypes:
            made, x = normalizer(norm), empty(shape, dtype, last)
            view, d, case = made.view(x), TYPES[dtype], f"{norm} {shape} {last}"
            found = exchange._launches(tuple(view.shape), view.stride(), made.reduced(shape), x.element_size(), True)
            yield case, dtype, found.forward, (d, d, "i64", "fp32", "fp32"), 2
            yield case, dtype, found.scale, (d, d, "i64", None, "fp32"), 1
            yield case, dtype, found.back[1], (d, d, d, "i64", "i64", "fp32", "fp32"), 1
            yield case, dtype, found.back[2], (d, d, d, "i64", None, None, "fp32"), 1


def row_launches():
    """Rows: forward, backward with takers that are named, and in place."""
    for last, dtype in ((True, HALF), (False, WHOLE)):
        x, d, case = empty((256, 256, 56, 56), dtype, last), TYPES[dtype], f"rows {last}"
        size, width = x[0].numel(), x.element_size()
        partner, box = (torch.empty(256, *more, dtype=torch.int64, device="meta") for more in ((), (2, 2)))
        share = torch.empty(256, 1, 56, 56, dtype=torch.bool, device="meta")
        blended = rows._launch(row_programs.blend_program, 256, size, width, 0)
        yield case, dtype, blended, (d, d, "i64", "fp32"), 0
        for scanned, taker in ((1, "i64"), (256, None)):
            back = rows._launch(row_programs.blend_back_program, 256, size, width, 0, (), (scanned,))
            yield case, dtype, back, (d, d, "i64", taker, "fp32"), 0
        for made in (rows.paste(x, partner, box, (2, 3)), rows.shrink(x, partner, box, (2, 3))):
            yield case, dtype, made._launched(row_programs.paste_program, x), (d, d, "i64", "i64"), 0
            yield case, dtype, made._launched(row_programs.paste_back_program, x, 1), (d, d, "i64", "i64", "i64"), 0
        chosen = rows.select(x, partner, share)
        yield case, dtype, chosen._launched(row_programs.select_program, x), (d, d, "i64", "u8", None), 0
        yield case, dtype, chosen._launched(row_programs.select_back_program, x, 1), (d, d, "i64", "i64", "u8", "fp32"), 0
        places, _, _ = rows._places(tuple(x.shape), x.stride(), (2, 3))
        yield case, dtype, rows._in_place(column_programs.blend_in_place_program, 256, size, width), (d, "i64", "fp32"), 0
        pasted = rows._in_place(column_programs.paste_in_place_program, 256, size, width, places, (2,))
        yield case, dtype, pasted, (d, "i64", "i64"), 0


def everything(arch):
    """What the compiler made of each program, for each case and dtype."""
    for case, dtype, launch, tensors, values in itertools.chain(moment_launches(), exchange_launches(), row_launches()):
        ptx, log, _ = compiled(launch, tensors, values, arch)
        yield {
            "program": launch.program.fn.__name__.removesuffix("_program"),
            "case": case,
            "dtype": TYPES[dtype],
            "loads": widths(ptx, "ld"),
            "stores": widths(ptx, "st"),
            "spilled": spilled(log),
        }


PROGRAMS = {
    name.removesuffix("_program")
    for module in (moment_programs, exchange_programs, row_programs, column_programs)
    for name in vars(module)
    if name.endswith("_program")
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps({"programs": sorted(PROGRAMS), "made": list(everything(int(sys.argv[1])))}))
