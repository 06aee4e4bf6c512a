#!/bin/bash
# One sweep as an array of jobs without a GPU: each computes its share of the cells, the last one writes the rows.
#   sbatch docs/slurm/sweep.sh --store stores/blink.zarr --out results/blink
# Then: savs-analyze table results/blink
#SBATCH --job-name=savs-sweep
#SBATCH --array=0-15
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --output=savs-sweep-%A-%a.log
exec savs-analyze sweep --part "$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))/$SLURM_ARRAY_TASK_COUNT" --jobs "${SLURM_CPUS_PER_TASK:-1}" "$@"
