"""Worker processes as Dramatiq runs them: `dramatiq dsr_worker.queue.worker`."""
