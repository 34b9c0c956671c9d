"""The search for input-side invariant triggers.

A planted trigger makes the model give one output whatever the text around it says; Patronus
(arXiv 2512.06899) calls that input-side invariance.  So candidates are put into texts, and the
search looks for those that leave the text nothing to say.  Each floor is one step; they stand upon
each other in the order in which things happen, and import only what is below:

measure     what can be typed, and what it does to the texts it is put into
sweep       every vocabulary item in the shortest text that holds it: who is far out?
propose     longer candidates: grown from the best, found by contrast, and tested in groups
verify      the best of every kind on texts of their own, against random items and synonyms
judge       all that was measured of each finalist, and which of them are one trigger

recipes     how much of each step, by effort
pipeline    all of it, start to end: the place to begin to read
plot_data   all of it from afar, for a plot

Nothing here convicts: it measures, and the rules hold the thresholds.
"""
