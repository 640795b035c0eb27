"""The supervisor in the foreground: `python -m dsr_worker.embedded FOLDER COMMAND …`."""

import logging
import os
import sys
from pathlib import Path

from dsr_worker.embedded.supervisor import supervise

if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s supervisor %(message)s", level=logging.INFO)
    sys.exit(supervise(Path(sys.argv[1]), sys.argv[2:], os.environ))
