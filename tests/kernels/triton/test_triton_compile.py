"""Compilation of the kernels for a Hopper GPU (sm_90), which needs no GPU.

As a script, `python tests/kernels/triton/test_triton_compile.py` compiles the kernels and prints their resource usage.
The test runs the script in a subprocess without the interpreter.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch

REGISTERS, SHARED = 65536, 232448
"""Registers and bytes of shared memory of a multiprocessor."""

SPILLED = {
    "scan_kernel": 0,
    "scan_back_kernel": 0,
    "decode_kernel": 0,
    "values_kernel": 128,
    # Three C x D float32 matrices take 192 registers per thread. Everything else is spilled around the solve, and half
    # a matrix within it, which takes less time than the tensor cores.
    "read_kernel": 1792,
    "solve_back_kernel": 1280,
    # No loop except over heads: matrices are spilled until they are used.
    "queries_kernel": 1152,
    "keys_kernel": 2816,
}
"""Kernel -> allowed bytes of local memory per thread, at D = 128 in bfloat16, with triton 3.6, 3.7 or 3.8."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Resource usage of a compiled kernel."""

    warps: int
    registers: int
    """Per thread."""
    stack: int
    """Bytes per thread in local memory."""
    shared: int
    """Bytes per program."""
    wgmma: int
    """Number of warpgroup-level tensor core instructions (HGMMA)."""
    mma: int
    """Number of warp-level tensor core instructions (HMMA), which are slower."""
    groups: int
    """Number of synchronisations of the warpgroup before such an instruction."""


def test_kernels_compile_for_sm_90_within_registers_and_shared_memory() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        pytest.skip("this triton comes without cuobjdump and nvdisasm; the kernels compile")
    figures = {name: Figures(**found) for name, found in json.loads(done.stdout).items()}
    assert figures.keys() == SPILLED.keys()
    for name, found in figures.items():
        assert found.shared <= SHARED, name
        assert found.stack <= SPILLED[name], f"{name} spills {found.stack} bytes per thread"
        if name == "decode_kernel":
            continue
        assert found.wgmma, f"{name} does not use wgmma"
        assert not found.mma, f"{name} has products without wgmma"
        # Without enough registers, the compiler serialises the tensor core instructions.
        assert found.groups <= found.wgmma / 2, f"{name}: tensor core instructions are serialised"
    for name in ("read_kernel", "solve_back_kernel", "decode_kernel"):
        found = figures[name]
        assert 2 * found.warps * 32 * found.registers <= REGISTERS, (
            f"{name}: two programs do not fit on a multiprocessor"
        )
        assert 2 * found.shared <= SHARED, f"{name}: two programs do not fit on a multiprocessor"


def main() -> None:
    """Compile the kernels of a forward and backward pass and of decode, and print their resource usage as JSON."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    from gated_kalmanet.state import State
    from gated_kalmanet.triton import decode, launch, triton_gated_kalmanet

    class Hopper:
        """Driver of an absent GPU."""

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", 90, 32)

    compiled = {}
    compile_and_launch = JITFunction.run

    def compile_only(self: JITFunction, *args: object, grid: object, warmup: bool, **options: object) -> None:
        compiled[self.__name__] = compile_and_launch(self, *args, grid=grid, warmup=True, **options)

    driver.set_active(Hopper())
    JITFunction.run = compile_only
    launch.check_device = lambda device: None

    q, k, v = (torch.ones(1, 128, heads, 128, dtype=torch.bfloat16, requires_grad=True) for heads in (4, 1, 1))
    gate = torch.ones(1, 128, 4, dtype=torch.bfloat16)
    o, state = triton_gated_kalmanet(q, k, v, gate, gate, -gate.float())
    o.sum().backward()
    with torch.no_grad():
        decode(q, k, v, gate, gate, -gate.float(), State(H=state.H, U=state.U))

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    if not all((tools / name).exists() for name in ("cuobjdump", "nvdisasm")):
        return
    print(json.dumps({name: asdict(figures(kernel, tools)) for name, kernel in compiled.items()}, indent=2))


def figures(kernel: object, tools: Path) -> Figures:
    """Read the resource usage and the machine code of a compiled kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage, code = (
            subprocess.run([tools / tool, option, file.name], capture_output=True, text=True, check=True).stdout
            for tool, option in (("cuobjdump", "--dump-resource-usage"), ("nvdisasm", "-c"))
        )
    return Figures(
        warps=kernel.metadata.num_warps,
        registers=int(re.search(r"REG:(\d+)", usage)[1]),
        stack=int(re.search(r"STACK:(\d+)", usage)[1]),
        shared=kernel.metadata.shared,
        wgmma=len(re.findall(r"\bHGMMA", code)),
        mma=len(re.findall(r"\bHMMA", code)),
        groups=code.count("WARPGROUP.ARRIVE"),
    )


if __name__ == "__main__":
    main()
