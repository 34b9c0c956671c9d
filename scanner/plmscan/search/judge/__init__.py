"""The last step: finalists held against the nulls and against each other, one profile each.

Training spills over, so several finalists can be one trigger: one whose shift points where that of
a more invariant one points, by cosine, follows it as its leader, and its echo is the ratio of their
scatters.  Of longer triggers it is told which tokens are sufficient alone, and of the strongest in
which layer they take over.  Everything is in the candidate's profile at the end, from which the
rules judge: the thresholds are theirs.  Patronus leaves this step out: a model is backdoored if one
token is left, and nobody counts triggers.

profile     all that was measured of one finalist
variants    which finalists are one trigger, and which spill over from another
layers      in which layer a candidate takes over
comparison  finalists against the nulls and each other: their profiles
sufficient  which tokens of a longer trigger do it all alone
"""
