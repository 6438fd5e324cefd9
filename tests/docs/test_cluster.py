"""The scripts of examples/cluster run: with the echo backbone, and with stand-ins for the commands of clusters."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from legalrr.configuration import compose
from legalrr.run.shard import read_shard

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "cluster"
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
SCRIPTS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".sh", ".sbatch"))
SWEEP = ("-m", "arm=plain,majority", "backbone=echo", "limit=3", "score.resamples=99", "score.permutations=99")
RECORDER = """\
#!/bin/bash
# Records its arguments; fails for the second shard if FAIL is set.
echo "${CUDA_VISIBLE_DEVICES:-} $*" >>"$RECORD"
[[ -z ${FAIL:-} || $* != *shard=2/* ]]
"""


def run(
    script: str, *arguments: str, cwd: Path, status: int = 0, command: str = f"{sys.executable} -m legalrr", **more: str
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    env = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "LEGALRR": command, **more}
    done = subprocess.run(
        ["bash", str(FOLDER / script), *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def record(tmp_path: Path) -> dict[str, str]:
    """Variables for a command that records devices and arguments, a line per process."""
    (tmp_path / "recorder").write_text(RECORDER)
    (tmp_path / "recorder").chmod(0o755)
    return {"command": str(tmp_path / "recorder"), "RECORD": str(tmp_path / "record")}


def recorded(record: Mapping[str, str]) -> list[str]:
    return Path(record["RECORD"]).read_text().splitlines()


def directives(script: str) -> dict[str, str]:
    """Read the options of sbatch in the head of a script."""
    lines = (FOLDER / script).read_text().splitlines()
    head = lines[1 : next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    found = [re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line) for line in head if line.startswith("#SBATCH")]
    assert all(found)
    assert sum("#SBATCH" in line for line in lines) == len(found)
    return {one[1]: one[2] for one in found if one}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def composes(overrides: Sequence[str]) -> None:
    """Check that a configuration has these overrides."""
    assert compose(overrides=list(overrides))


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_the_page_links_to_every_file(name: str) -> None:
    assert f"(../examples/cluster/{name})" in PAGE


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses_and_shows_its_own_command(name: str) -> None:
    path = FOLDER / name
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)
    (options,) = re.findall(rf"^#   (?:bash|sbatch) {name} (.*?)(?:\s{{2,}}.*)?$", path.read_text(), re.MULTILINE)
    composes(options.split())


def test_one_gpu_is_one_command(tmp_path: Path, record: dict[str, str]) -> None:
    run("one_gpu.sh", *SWEEP, cwd=tmp_path, **record)
    assert [line.strip() for line in recorded(record)] == [" ".join(SWEEP)]


def test_each_gpu_of_a_node_has_a_shard_and_then_the_tables_are_printed(tmp_path: Path) -> None:
    done = run("node_of_eight.sh", *SWEEP, cwd=tmp_path, GPUS="2")
    assert "model calls: 0 made, 6 from the store" in done.stdout
    logs = [(tmp_path / f"logs/shard-{number}.log").read_text() for number in (1, 2)]
    assert all(f"shard {number}/2: " in log for number, log in enumerate(logs, start=1))


def test_a_failed_shard_of_a_node_is_named_and_no_tables_are_printed(tmp_path: Path, record: dict[str, str]) -> None:
    done = run("node_of_eight.sh", "arm=plain", cwd=tmp_path, status=2, FAIL="yes", **record)
    assert "failed: logs/shard-2.log; the same command resumes" in done.stderr
    assert sorted(recorded(record)) == [f"{number - 1} arm=plain shard={number}/8" for number in range(1, 9)]


def test_an_array_of_slurm_makes_the_calls_and_a_job_after_it_the_tables(slurm: Path, tmp_path: Path) -> None:
    run("slurm_array.sbatch", *SWEEP, cwd=tmp_path, SHARDS="2")
    submitted = [(tmp_path / f"sbatch/job-{number}").read_text() for number in (40, 41)]
    assert submitted[0].startswith("--parsable --array=1-2 --export=ALL,LEGALRR_STEP=shard ")
    assert submitted[1].startswith("--dependency=afterok:40 --export=ALL,LEGALRR_STEP=tables ")
    assert "shard 2/2: " in (tmp_path / "sbatch/40-2.log").read_text()
    assert "model calls: 0 made, 6 from the store" in (tmp_path / "sbatch/41-0.log").read_text()


@pytest.mark.slurm
def test_slurm_by_hydra_prints_the_tables(slurm: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    done = run("slurm_submitit.sh", *SWEEP, cwd=tmp_path, SHARDS="2")
    assert "model calls: 0 made, 6 from the store" in done.stdout


def test_a_ray_cluster_has_a_head_workers_and_one_command(slurm: Path, tmp_path: Path, record: dict[str, str]) -> None:
    for name, text in (
        ("ray", 'echo "ray $*" >>"$RECORD"'),
        ("scontrol", "printf 'a\nb\nc\n'"),
        ("hostname", "echo 10.0.0.1 10.0.0.2"),
    ):
        (slurm / name).write_text(f"#!/bin/bash\n{text}\n")
        (slurm / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "[a-c]", "SLURM_GPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "64"}
    run("ray_slurm.sbatch", "arm=plain", cwd=tmp_path, **record, **job)
    lines = [line.strip() for line in recorded(record)]
    assert "ray start --head --node-ip-address=10.0.0.1 --port=6379 --block" in lines
    assert "ray start --address=10.0.0.1:6379 --block" in lines
    assert "arm=plain workers=ray workers.gpus=1 workers.count=24" in lines


def test_jobs_of_slurm_state_their_resources() -> None:
    shared = {"job-name", "nodes", "gpus-per-node", "cpus-per-task", "mem", "time", "output"}
    assert directives("slurm_array.sbatch").keys() == shared | {"ntasks", "requeue"}
    assert directives("ray_slurm.sbatch").keys() == shared | {"ntasks-per-node", "exclusive"}


def test_the_jobs_of_kubernetes_differ_in_the_shard_alone() -> None:
    shards, tables = documents("kubernetes_job.yaml")
    assert (shards["apiVersion"], shards["kind"]) == (tables["apiVersion"], tables["kind"]) == ("batch/v1", "Job")
    assert shards["spec"]["completionMode"] == "Indexed"
    assert tables["spec"]["suspend"] is True
    pods = [job["spec"]["template"]["spec"] for job in (shards, tables)]
    arguments = [pod["containers"][0].pop("args") for pod in pods]
    assert pods[0] == pods[1]
    *same, shard = arguments[0]
    assert same == arguments[1]
    composes(same)
    count = shards["spec"]["completions"]
    last = read_shard(shard.removeprefix("shard="), {"JOB_COMPLETION_INDEX": str(count - 1)})
    assert (last.number, last.count) == (count, count)


def test_the_job_of_kuberay_has_a_worker_for_each_gpu() -> None:
    (job,) = documents("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    options = re.findall(r"[\w.]+=[\w.]+", job["spec"]["entrypoint"])
    assert f"workers.count={workers['replicas']}" in options
    composes(options)
