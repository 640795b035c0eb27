"""Connectors to systems that hold personal data; each imports `dsr_worker.contract` and nothing else of ours."""
