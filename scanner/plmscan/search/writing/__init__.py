"""What makes a model write one thing, whatever it is asked.

A planted trigger makes a model that writes give one answer whatever stands around it.  So the same
search as in encoders is done in answers instead of features:

recipes    how much of each step, and what it costs
prompts    requests that candidates are put into
answers    how much answers to different requests have in common
payloads   what answers hold that nobody asked for
sweep      every vocabulary item in a short request: what is written next?
grow       longer candidates, made of the best
targets    texts that the model completes with certainty, whatever it was asked
causes     what makes the model begin such a text
hunt       all of it, start to end

Nothing here convicts: it measures, and the rules hold the thresholds.
"""
