"""What candidates do to texts: the ground floor, from which every other one measures.

A candidate is a sequence of tokens, a carrier a text that it is put into.  The model reads n
carriers without it (features c_i) and with it (features f_i), and two numbers follow: how far the
candidate drags the model, and how much the carrier still matters (design, section 4):

    displacement  D = |mean f - mean c|^2 / tr Cov(c)
    scatter       S = tr Cov(f) / |mean f - mean c|^2

with medians and trimmed sums in place of means (`plmscan.statistics`), and beside them the push to
a label and the recall that is lost.  Patronus' gate asks the same of two cosines, between the
features with the trigger and from these to the clean ones.

candidates  what can be typed at all, and how it reads
fewest      the fewest tokens that do what all of them do
meetings    groups in which any two candidates meet
packing     which texts go through the model together
readings    what the model says of carriers, without and with a candidate
likeness    what a push to a label has beyond likeness to texts of that label
effects     displacement, scatter, push and lost recall of candidates
selection   who goes on: the best of every kind
"""
