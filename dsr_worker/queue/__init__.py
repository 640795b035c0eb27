"""The doorbell: Dramatiq on Redis. A message says "there is work for system X" and nothing else."""
