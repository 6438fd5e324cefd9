import pytest
from hydra.core.utils import JobReturn
from hydra.types import RunMode
from omegaconf import OmegaConf

from legalrr.errors import UserError
from legalrr.report.compare import read_report
from legalrr.report.sweep import SweepTables, rebuild, write_report

FILES = ["results.csv", "results.md", "results.tex", "pairs.csv", "macro_f1.svg"]


def hydra_config(mode, folder):
    return OmegaConf.create({"hydra": {"mode": mode, "sweep": {"dir": str(folder)}}})


def test_a_rebuild_writes_all_files(sweep):
    sweep.cell(0)
    assert [path.name for path in rebuild(sweep.folder)] == FILES
    assert sorted(path.name for path in sweep.folder.iterdir() if path.is_file()) == sorted(FILES)


def test_a_rebuild_gives_the_same_bytes_again(sweep):
    sweep.cell(0, answers="AAADDDDDDAAA")
    sweep.cell(1, "dr")
    first = [path.read_bytes() for path in rebuild(sweep.folder)]
    assert [path.read_bytes() for path in rebuild(sweep.folder)] == first


def test_without_scores_there_is_no_figure(sweep):
    sweep.failed(0)
    assert [path.name for path in rebuild(sweep.folder)] == FILES[:-1]


def test_the_callback_rebuilds_after_a_job_of_a_sweep(sweep):
    sweep.cell(0)
    SweepTables().on_job_end(hydra_config(RunMode.MULTIRUN, sweep.folder), JobReturn())
    assert (sweep.folder / "results.csv").is_file()


def test_the_callback_does_not_rebuild_within_the_pause(sweep):
    config, tables = hydra_config(RunMode.MULTIRUN, sweep.folder), SweepTables(pause=3600.0)
    sweep.cell(0)
    tables.on_job_end(config, JobReturn())
    first = (sweep.folder / "results.csv").read_bytes()
    sweep.cell(1, "dr")
    tables.on_job_end(config, JobReturn())
    assert (sweep.folder / "results.csv").read_bytes() == first


def test_after_the_pause_the_callback_rebuilds_again(sweep):
    config, tables = hydra_config(RunMode.MULTIRUN, sweep.folder), SweepTables(pause=0.0)
    sweep.cell(0)
    tables.on_job_end(config, JobReturn())
    first = (sweep.folder / "results.csv").read_bytes()
    sweep.cell(1, "dr")
    tables.on_job_end(config, JobReturn())
    assert (sweep.folder / "results.csv").read_bytes() != first


def test_the_callback_ignores_a_single_run(sweep):
    sweep.cell(0)
    SweepTables().on_job_end(hydra_config(RunMode.RUN, sweep.folder), JobReturn())
    assert not (sweep.folder / "results.csv").exists()


def test_a_folder_that_cannot_be_created_is_named(sweep, tmp_path):
    sweep.cell(0)
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken: cannot make this folder: File exists"):
        write_report(read_report([sweep.folder]), tmp_path / "taken")
