"""Compiles every program for a device that need not be there: ``python -m tests.kernels.gpu.compiled 90``."""

import itertools
import json
import re
import sys

import torch
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
SWITCHES = {"FINAL": (True, False), "SHIFTED": (True, False), "AXES": (1, 2, 3)}
CASES = {
    "pono": (torch.empty(64, 64, 56, 56, device="meta"), (1,)),
    "in": (torch.empty(64, 64, 56, 56, device="meta"), (2, 3)),
    "ln": (torch.empty(8, 64, 56, 56, device="meta"), (1, 2, 3)),
    "last": (torch.empty(64, 64, 56, 56, device="meta").contiguous(memory_format=torch.channels_last), (1,)),
}


def ptx(name, program, ints, constants, dtype, arch, warps):
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
    return compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": warps}).asm["ptx"]


def variants(program):
    switches = {name: SWITCHES[name] for name in SWITCHES if name in program.arg_names}
    return [dict(zip(switches, chosen, strict=True)) for chosen in itertools.product(*switches.values())]


def described(name, case, dtype, switches, ptx):
    wide = len(re.findall(r"ld\.global[.\w]*\.v[248]", ptx))
    stores = len(re.findall(r"st\.global[.\w]*\.v[248]", ptx))
    return {
        "program": name,
        "case": case,
        "dtype": dtype,
        **switches,
        "wide": wide,
        "stores": stores,
        "local": ptx.count(".local"),
    }


def everything(arch):
    """What the compiler made of each program, for each case, dtype and switch."""
    programs = {**vars(moment_programs), **vars(row_programs)}
    for name in (name for name in programs if name.endswith("_program")):
        by_axes = "outer1" in programs[name].arg_names
        for case, (x, dims) in CASES.items() if by_axes else [("rows", CASES["in"])]:
            loops = plan(x, dims)
            ints = dict(zip(GEOMETRY, _geometry(loops), strict=True), number=loops.elements, share=loops.share)
            ints.update(size=x[0].numel(), s0=56, n0=56, s1=1, n1=56)
            tiles = {**_tile(loops), "BLOCK": 1024}
            for switches, dtype in itertools.product(variants(programs[name]), ("fp32", "bf16")):
                constants = {k: v for k, v in {**tiles, **switches}.items() if k in programs[name].arg_names}
                yield described(
                    name, case, dtype, switches, ptx(name, programs[name], ints, constants, dtype, arch, loops.warps)
                )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(everything(int(sys.argv[1])))))
