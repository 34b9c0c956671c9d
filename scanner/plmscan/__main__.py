"""``python -m plmscan``."""

from plmscan.cli import main

if __name__ == "__main__":
    main()
