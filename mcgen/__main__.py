"""`python -m mcgen`, the same as `mcgen`."""
import sys

from mcgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
