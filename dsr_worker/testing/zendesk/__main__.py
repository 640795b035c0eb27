"""Run the helpdesk fake from the shell: prints its address, serves until interrupted."""

from __future__ import annotations

import argparse
import contextlib
import sys

from dsr_worker.testing.zendesk.server import Fake


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m dsr_worker.testing.zendesk")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--email", default="worker@shop.example")
    parser.add_argument("--token", default="trial-token")
    parser.add_argument("--job-polls", type=int, default=2, help="polls until a job is done")
    given = parser.parse_args()
    fake = Fake(email=given.email, token=given.token, port=given.port, job_polls=given.job_polls)
    sys.stdout.write(f"{fake.base_url}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        fake.serve_forever()


if __name__ == "__main__":
    main()
