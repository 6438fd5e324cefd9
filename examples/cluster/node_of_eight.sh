#!/usr/bin/env bash
# One node with eight GPUs: a process for each GPU makes the calls of an eighth of the judgments; then one prints the tables.
#
#   bash node_of_eight.sh experiment=paper corpus=lawai50 backbone=qwen3_8b engine=vllm
#
# If a process fails, the same command resumes: what is stored is not asked again.
# GPUS: number of GPUs (8). LOGS: folder of what the processes say (logs). LEGALRR: the command, if it is not `legalrr`.
set -euo pipefail
read -r -a legalrr <<<"${LEGALRR:-legalrr}"
gpus=${GPUS:-8}
logs=${LOGS:-logs}

mkdir -p "$logs"
shards=()
trap 'kill "${shards[@]}" 2>/dev/null || true' INT TERM
for ((number = 1; number <= gpus; number++)); do
  CUDA_VISIBLE_DEVICES=$((number - 1)) "${legalrr[@]}" "$@" "shard=$number/$gpus" >"$logs/shard-$number.log" 2>&1 &
  shards+=("$!")
done
echo "$gpus shards are running: tail -f $logs/shard-*.log" >&2

failed=()
for ((number = 1; number <= gpus; number++)); do
  wait "${shards[number - 1]}" || failed+=("$logs/shard-$number.log")
done
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}; the same command resumes" >&2
  exit 2
fi

# All calls are stored. The model is loaded once more, to count tokens.
CUDA_VISIBLE_DEVICES=0 "${legalrr[@]}" "$@"
