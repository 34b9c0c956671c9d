"""Give back a model that a scan has condemned: by repair of rows, or by adversarial training.

A copy of the model, the student, is trained against the frozen original, the teacher (after
Patronus, arXiv 2512.06899): features of clean text stay what they were, and features of text with a
recovered trigger return to those that the text has without it.  Nobody's labels are needed.  Where
a backdoor may live in the word embeddings of its triggers, those rows alone are trained first.

suspects    what is to be forgotten
methods     which weights may change: rows, the slices of hijacked heads, or every layer
rows        what replaces a row, or what its training starts from
batches     clean texts, and the same with triggers in them
losses      how far the student is from where it should be
training    the loop
bars        what random items do, and triggers beside it
trial       whether it worked: triggers inside the model's own null, clean text untouched
course      legs of training, a trial after each
writing     the same files with other weights, and where they come from
plan        what all that takes, and the scale of its progress
rounds      a method, a trial, and a scan with a fresh seed; the least invasive method first
outcome     what came of all rounds
provenance  the same, as the new folder says it of itself
purifier    all of it, from the report to the new folder

What a purified model no longer does is what was tried.  A scan with another seed has to pass before
anything is written, and triggers that no scan finds may be left.
"""

from plmscan.purify.bars import Behaviour
from plmscan.purify.methods import Method
from plmscan.purify.outcome import Purification
from plmscan.purify.purifier import purify
from plmscan.purify.rounds import Round
from plmscan.purify.trial import Trial

__all__ = ["Behaviour", "Method", "Purification", "Round", "Trial", "purify"]
