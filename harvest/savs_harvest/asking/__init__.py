"""What is asked of the model: the sample table, its checks, answered questions in front, prepared inputs."""
