#!/bin/bash
# One harvest as an array of jobs, each with a GPU of its own; they need not run at the same time.
#   sbatch docs/slurm/harvest.sh --model qwen2vl --data blink
# What was killed, by its time limit or by you, is finished by the same line, with any other number of jobs.
#SBATCH --job-name=savs-harvest
#SBATCH --array=0-7
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=5
#SBATCH --gpus=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=savs-harvest-%A-%a.log
export OMP_NUM_THREADS=1  # the same in all jobs: without a GPU, last bits depend on it
exec savs-harvest run "$@"
