"""``python -m plmscan``."""

from plmscan.cli import run

if __name__ == "__main__":
    run()
