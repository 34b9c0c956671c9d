"""Pickles, read without loading any: what they import, call and change, wherever they lie.

`read` looks for pickles in a file by its content: bare, one after another, behind arrays, and in
zip, tar and 7z archives and compressed files, all within an `Allowance`; `read_objects` reads the
plain data of one, such as the numbers of a classifier.  `judge` says what it
means that a pickle uses a name, by an allow-list that is made from the libraries themselves
(``tools/generate_allowed.py``).
"""

from plmscan.pickles.contents import Reading, read
from plmscan.pickles.members import walk
from plmscan.pickles.names import (
    Global,
    Level,
    Permission,
    Use,
    allowed,
    builds_tensors,
    judge,
    permission,
)
from plmscan.pickles.objects import ForeignError, read_objects
from plmscan.pickles.streams import Allowance, BoundError, BrokenError

__all__ = [
    "Allowance",
    "BoundError",
    "BrokenError",
    "ForeignError",
    "Global",
    "Level",
    "Permission",
    "Reading",
    "Use",
    "allowed",
    "builds_tensors",
    "judge",
    "permission",
    "read",
    "read_objects",
    "walk",
]
