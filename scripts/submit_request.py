#!/usr/bin/env python3
"""Submit a privacy request, or a CSV file of them: `dsr submit` under the project's environment.

./scripts/submit_request.py --kind access --identities - --country DE <<< '{"email": "…"}'
./scripts/submit_request.py --kind rectification --email … --country DE --corrections FILE
./scripts/submit_request.py --kind complaint --topic refund --country DE --email … --text FILE
./scripts/submit_request.py --csv requests.csv --json
"""

import sys

import _project

_project.enter()

from dsr_worker.cli import main  # noqa: E402 - only once the environment is there

if __name__ == "__main__":
    main(["submit", *sys.argv[1:]])
