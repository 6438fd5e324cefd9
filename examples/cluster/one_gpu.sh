#!/usr/bin/env bash
# One GPU: the whole experiment in one process. The same command resumes it after Ctrl-C, a crash or a time limit.
#
#   bash one_gpu.sh experiment=paper corpus=lawai50 backbone=qwen3_8b engine=vllm
#
# LEGALRR: the command, if it is not `legalrr`.
set -euo pipefail
read -r -a legalrr <<<"${LEGALRR:-legalrr}"

"${legalrr[@]}" "$@"
