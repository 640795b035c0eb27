"""`python -m dsr_worker` is `dsr`."""

from dsr_worker.cli import main

if __name__ == "__main__":
    main()
