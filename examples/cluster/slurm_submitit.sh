#!/usr/bin/env bash
# Slurm by Hydra: this process submits the shards as one array job (submitit), waits for them, and prints the tables.
# It runs as long as the jobs: start it in tmux, or in a job of its own. At the end it loads the model, to count tokens.
#
#   bash slurm_submitit.sh experiment=paper corpus=lawai50 backbone=qwen3_8b engine=vllm
#
# Ctrl-C cancels the jobs; the same command resumes. Further options: legalrr hydra/launcher=submitit_slurm --cfg hydra
# SHARDS: number of jobs (16). PARTITION: partition of Slurm (gpu). LEGALRR: the command, if it is not `legalrr`.
set -euo pipefail
read -r -a legalrr <<<"${LEGALRR:-legalrr}"

"${legalrr[@]}" "$@" \
  hydra/launcher=submitit_slurm \
  hydra.launcher.shards="${SHARDS:-16}" \
  hydra.launcher.partition="${PARTITION:-gpu}" \
  hydra.launcher.gpus_per_node=1 \
  hydra.launcher.cpus_per_task=8 \
  hydra.launcher.mem_gb=64 \
  hydra.launcher.timeout_min=720
