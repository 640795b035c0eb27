"""Worker processes as Dramatiq runs them: `python -m dsr_worker.queue -p PROCESSES -t THREADS`."""
