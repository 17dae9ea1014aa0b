"""Compiles every program for a device that need not be there: ``python -m tests.kernels.gpu.compiled 90``."""

import contextlib
import io
import itertools
import json
import re
import sys

import torch
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from featmix.kernels.gpu import moment_programs, row_programs
from featmix.kernels.gpu.moments import _geometry, _tile
from featmix.kernels.gpu.plan import plan

POINTERS = {
    "moments_program": {"x": "in", "mean": "fp32", "spread": "fp32", "pivots": "fp32"},
    "merge_program": dict.fromkeys(("means", "squares", "pivots", "mean", "std"), "fp32"),
    "affine_program": {"x": "in", "y": "in", "scale": "fp32", "shift": "fp32", "active": "u8"},
    "sums_program": {"g": "in", "x": "in", "mean": "fp32", "total": "fp32", "against": "fp32"},
    "combine_program": {"g": "in", "x": "in", "y": "in", "a": "fp32", "b": "fp32", "c": "fp32"},
    "blend_program": {"x": "in", "y": "in", "partner": "i64", "lam": "fp32"},
    "blend_back_program": {
        "g": "in",
        "to": "in",
        "lam": "fp32",
        **dict.fromkeys(("partner", "takers", "first", "past"), "i64"),
    },
    "paste_program": {"x": "in", "y": "in", "partner": "i64", "box": "i64"},
    "paste_back_program": {"g": "in", "to": "in", **dict.fromkeys(("partner", "box", "takers", "first", "past"), "i64")},
}
GEOMETRY = ("outer1", "inner", "O0", "O1", "OI", "S0", "S1", "SI", "fast", "R0", "R1")
SWITCHES = {"FINAL": (True, False), "SHIFTED": (True, False), "AXES": (1, 3)}
BITS = {"fp32": 32, "bf16": 16}
LAST = torch.empty(64, 64, 56, 56, device="meta").contiguous(memory_format=torch.channels_last)
CASES = {
    "pono": (torch.empty(64, 64, 56, 56, device="meta"), (1,)),
    "in": (torch.empty(64, 64, 56, 56, device="meta"), (2, 3)),
    "ln of one": (torch.empty(1, 64, 56, 56, device="meta"), (1, 2, 3)),  # many arguments are 1, and then constants
    "pono last": (LAST, (1,)),
    "gn last": (LAST.view(64, 8, 8, 56, 56), (2, 3, 4)),
}


def compiled(name, program, ints, constants, dtype, arch, warps):
    signature, values, hints = {}, dict(constants), {}
    for i, argument in enumerate(program.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in POINTERS[name]:
            kind = POINTERS[name][argument]
            signature[argument] = "*" + (dtype if kind == "in" else kind)
            hints[i,] = [["tt.divisibility", 16]]
        elif argument in ("divisor", "eps"):
            signature[argument] = "fp32"
        elif ints.get(argument) == 1:
            signature[argument], values[argument] = "constexpr", 1
        else:
            signature[argument] = "i32"
            if ints.get(argument, 1) % 16 == 0:
                hints[i,] = [["tt.divisibility", 16]]
    source = ASTSource(program, signature, {(program.arg_names.index(k),): v for k, v in values.items()}, hints)
    log = io.StringIO()
    with contextlib.redirect_stdout(log):
        made = compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps})
    return made.asm["ptx"], log.getvalue()


def variants(program):
    switches = {name: SWITCHES[name] for name in SWITCHES if name in program.arg_names}
    return [dict(zip(switches, chosen, strict=True)) for chosen in itertools.product(*switches.values())]


def described(name, case, dtype, switches, found):
    ptx, log = found
    return {
        "program": name,
        "case": case,
        "dtype": dtype,
        **switches,
        "loads": [bits(*each) for each in re.findall(r"ld\.global[.\w:]*?(?:\.v(\d))?\.b(\d+)", ptx)],
        "stores": [bits(*each) for each in re.findall(r"st\.global[.\w:]*?(?:\.v(\d))?\.b(\d+)", ptx)],
        "spilled": sum(map(int, re.findall(r"(\d+) bytes spill", log))) if "bytes spill" in log else None,
    }


def bits(lanes, each):
    """Of one instruction, for one thread."""
    return int(lanes or 1) * int(each)


def everything(arch):
    """What the compiler made of each program, for each case, dtype and switch; with wide offsets once."""
    knobs.compilation.always_compile = knobs.nvidia.dump_ptxas_log = True  # only ptxas tells what it spilled
    programs = {**vars(moment_programs), **vars(row_programs)}
    for name in (name for name in programs if name.endswith("_program")):
        arguments = programs[name].arg_names
        of_features = "outer1" in arguments
        cases = CASES if of_features else {"merged": CASES["ln of one"]} if name == "merge_program" else {"rows": CASES["in"]}
        for case, (x, dims) in cases.items():
            loops = plan(x, dims)
            ints = dict(zip(GEOMETRY, _geometry(loops), strict=True), number=loops.elements, share=loops.share)
            ints.update(size=x[0].numel() if case == "rows" else x.numel() // loops.elements, splits=loops.splits)
            ints.update(s0=56, n0=56, s1=1, n1=56, s2=1, n2=1)
            tiles, warps = {**_tile(loops), "BLOCK": 1024}, loops.warps if of_features else 4
            once = case in ("pono", "ln of one", "rows") and "WIDE" in arguments
            dtypes = BITS if "in" in POINTERS[name].values() else ("fp32",)
            for dtype, wide in [*((dtype, False) for dtype in dtypes), *[("fp32", True)] * once]:
                for switches in variants(programs[name]):
                    constants = {k: v for k, v in {**tiles, **switches, "WIDE": wide}.items() if k in arguments}
                    found = compiled(name, programs[name], ints, constants, dtype, arch, warps)
                    tile = loops.width * loops.depth if of_features else tiles["BLOCK"]
                    yield described(name, case, dtype, {**switches, "WIDE": wide}, found) | {
                        "tile": tile * BITS[dtype] // (32 * warps)
                    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(everything(int(sys.argv[1])))))
