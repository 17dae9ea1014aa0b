"""Compiles a launch for a device that need not be there, and reads what the compiler made of it."""

import contextlib
import io
import re

from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile


def compiled(launch, tensors, values, arch):
    """The PTX, the log of ptxas and the binary of a launch.

    Args:
        launch: A ``Launch``.
        tensors: The dtype of each of its tensors as Triton writes it, ``None`` where there is none.
        values: How many floating values a call has.
        arch: ``90`` for sm_90.
    """
    arguments = [*("*" + t if t else None for t in tensors), *[0.5] * values, *launch.arguments]
    signature, constants, hints = {}, {}, {}
    for i, (parameter, value) in enumerate(zip(launch.program.params, arguments, strict=True)):
        if parameter.is_constexpr or value is None or (type(value) is int and value == 1):
            signature[parameter.name], constants[i,] = "constexpr", value
        elif isinstance(value, str):
            signature[parameter.name] = value
            if not parameter.do_not_specialize_on_alignment:
                hints[i,] = [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if value < 1 << 31 else "i64"
            if value % 16 == 0:
                hints[i,] = [["tt.divisibility", 16]]
    source, log = ASTSource(launch.program, signature, constants, hints), io.StringIO()
    with contextlib.redirect_stdout(log), knobs.compilation.scope(), knobs.nvidia.scope():
        knobs.compilation.always_compile = knobs.nvidia.dump_ptxas_log = True  # only ptxas tells what it spilled
        made = compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": launch.warps})
    return made.asm["ptx"], log.getvalue(), made.asm["cubin"]


def widths(ptx, kind):
    """Bits that one thread reads (``ld``, past the registers too) or writes (``st``) at once, of each instruction."""
    found = [int(lanes or 1) * int(each) for lanes, each in re.findall(rf"{kind}\.global[.\w:]*?(?:\.v(\d))?\.b(\d+)", ptx)]
    past = re.findall(r"cp\.async\.c[ag]\.shared\.global[^,]*,[^,]*, (0x[0-9a-f]+|\d+)", ptx) if kind == "ld" else []
    return found + [8 * int(size, 0) for size in past]


def spilled(log):
    """Bytes, all of them; ``None`` where ptxas said nothing."""
    found = re.findall(r"(\d+) bytes spill", log)
    return sum(map(int, found)) if found else None


def registers(log):
    """Of a thread."""
    return max(map(int, re.findall(r"Used (\d+) registers", log)))
