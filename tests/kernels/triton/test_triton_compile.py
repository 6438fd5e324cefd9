"""The kernels as they are launched, compiled for a Hopper GPU (sm_90), which needs no GPU.

Run as a script it compiles them and prints what became of them: `python tests/kernels/triton/test_triton_compile.py`.
The test runs it so, in a process of its own where nothing is interpreted.
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
"""Of a multiprocessor: registers, and bytes of shared memory for programs."""

SPILLED = {
    "scan_kernel": 0,
    "scan_back_kernel": 0,
    "decode_kernel": 0,
    "values_kernel": 128,
    # Three C x D float32 matrices are 192 registers of a thread. What else a program has is put away around the solve,
    # and within it half a matrix, which costs less time than the tensor cores take.
    "read_kernel": 1792,
    "solve_back_kernel": 1280,
    # No loop but that over heads: matrices wait for their turn.
    "queries_kernel": 1152,
    "keys_kernel": 2816,
}
"""Kernel -> bytes per thread that may be kept in local memory, at D = 128 in bfloat16, by triton 3.6, 3.7 or 3.8."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the compiler reports of a kernel."""

    warps: int
    registers: int
    """Per thread."""
    stack: int
    """Bytes per thread in local memory."""
    shared: int
    """Bytes per program."""
    wgmma: int
    """Instructions of the tensor cores for a whole warpgroup (HGMMA)."""
    mma: int
    """The slower ones for a warp (HMMA)."""
    groups: int
    """How often the warpgroup is made to wait before such an instruction."""


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
        assert found.wgmma, f"{name} does without wgmma"
        assert not found.mma, f"{name} has products that wgmma does not do"
        # Short of registers, the compiler waits for every instruction of the tensor cores before the next.
        assert found.groups <= found.wgmma / 2, f"{name}: instructions of the tensor cores are serialised"
    for name in ("read_kernel", "solve_back_kernel", "decode_kernel"):
        found = figures[name]
        assert 2 * found.warps * 32 * found.registers <= REGISTERS, f"no two programs of {name} on a multiprocessor"
        assert 2 * found.shared <= SHARED, f"no two programs of {name} on a multiprocessor"


def main() -> None:
    """Compile the kernels of a forward and backward pass and of decoding, and print their figures as JSON."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    from gated_kalmanet.state import State
    from gated_kalmanet.triton import decode, launch, triton_gated_kalmanet

    class Hopper:
        """A driver of a GPU that is not there."""

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
    """Read a compiled kernel's machine code."""
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
