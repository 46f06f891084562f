"""`python -m inference_engine.cli`, the same as the command `inference-engine`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
