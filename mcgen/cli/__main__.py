"""`python -m mcgen.cli`, the same as `mcgen`."""
import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
