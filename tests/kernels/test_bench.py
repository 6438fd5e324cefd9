"""The benchmark counts operations and bytes, times the cases and reports the results."""

import runpy
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from gated_kalmanet import bench, bench_cases


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> bench_cases.Sizes:
    """Cases of about a millisecond, timed once."""
    sizes = replace(bench_cases.SIZES["cpu"], tokens=(16, 32), batches=(1,), dim=8, square=16)
    monkeypatch.setitem(bench_cases.SIZES, "cpu", sizes)

    def once(run: object, device: str) -> float:
        run()
        return 1e-3

    monkeypatch.setattr(bench, "seconds", once)
    return sizes


def test_arithmetic_and_bytes_are_those_of_the_cost_model() -> None:
    sizes = bench_cases.SIZES["cuda"]
    per_head = sizes.heads * 32768
    # By hand, for D = 128 and C = 64: 30 products of 65,536 with H; norms 57,344; states 65,536; read-out 65,536.
    assert bench_cases.flops(sizes, 32768, 30, bench_cases.FORWARD) / per_head == 30 * 65536 + 57344 + 2 * 65536
    assert bench_cases.moved(sizes, 32768, bench_cases.FORWARD) / per_head == 512 + 128 + 2048
    both = bench_cases.flops(sizes, 32768, 30, bench_cases.BOTH) / per_head
    assert both > 2 * 30 * 65536


def test_the_least_time_is_the_longer_of_arithmetic_and_bytes() -> None:
    ceilings = bench.Ceilings(product=10.0, copy=2.0)
    case = bench.Case(name="", stage=bench.FORWARD, size=1, flops=100.0, bytes=4.0, run=lambda: None)
    assert ceilings.least(case) == 10
    assert ceilings.least(replace(case, bytes=40.0)) == 20


def test_every_stage_of_every_form_on_a_cpu_is_in_the_table_and_the_plot(
    tiny: bench_cases.Sizes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.main(["--device", "cpu", "--plot", str(tmp_path / "bench.svg")])
    printed = capsys.readouterr().out
    for expected in (
        "forward, 32",
        "fwd + bwd, 16",
        "decode, 1",
        "chunk, cg 15",
        "naive",
        "1.00 x",
        "attention, 32 past",
    ):
        assert expected in printed
    assert "speed-up of chunk over naive at 32 tokens: 1" in printed
    assert b"<svg" in (tmp_path / "bench.svg").read_bytes()


def test_a_row_says_its_share_of_the_machine_and_of_attention() -> None:
    rows = [
        bench.Row(name="chunk", stage=bench.FORWARD, size=8, seconds=0.5, least=0.125),
        bench.Row(name=bench.ATTENTION, stage=bench.FORWARD, size=8, seconds=1.0, least=0.1),
        bench.Row(name="chunk", stage=bench.DECODE, size=2, seconds=2.0, least=1.0),
    ]
    console = Console(width=120, record=True, file=StringIO())
    console.print(bench.table(rows, "title"))
    lines = [line.split() for line in console.export_text().splitlines()]
    chunk, attention, decode = (line for line in lines if line[:1] in (["│"], ["┃"]) and "ms" not in line)
    assert {"500.000", "25%", "2.00"} <= set(chunk)
    assert {"1,000.000", "10%", "1.00"} <= set(attention)
    assert {"2,000.000", "50%"} <= set(decode)


def test_gradients_are_timed_without_touching_the_inputs() -> None:
    x = torch.ones(2)
    bench_cases.both(lambda leaf: leaf * 2, (x,))()
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "tpu"], "invalid choice"),
        (["--device", "cpu", "--plot", "/no/such/folder/x.svg"], "the folder does not exist"),
    ],
)
def test_an_impossible_request_of_the_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    monkeypatch.delitem(sys.modules, "gated_kalmanet.bench")
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("gated_kalmanet.bench", run_name="__main__")
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--device", "cuda"])
    assert "PyTorch sees no CUDA device here" in capsys.readouterr().err
