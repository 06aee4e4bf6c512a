#!/bin/bash
# One harvest as one job of several machines: srun starts a process for every GPU, and one bad process ends no other.
#   sbatch docs/slurm/harvest-steps.sh --model qwen2vl --data blink
#SBATCH --job-name=savs-harvest
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=5
#SBATCH --gpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --output=savs-harvest-%j.log
export OMP_NUM_THREADS=1
exec srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 savs-harvest run "$@"
