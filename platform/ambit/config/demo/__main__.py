"""Run the demonstration without loading Django: `python -m ambit.config.demo`."""

import sys

from ambit.config.demo.flow import play

if __name__ == "__main__":
    sys.exit(play())
