"""The first step: every vocabulary item in the shortest text that holds it.

One forward pass an item says how far it is from all others, by plain distance from the vocabulary's
midpoint m and by Mahalanobis distance under the vocabulary's covariance C (design, section 5.1):

    |f - m|^2    and    (f - mean)' C^-1 (f - mean)

In a classifier it says as well for which label each word argues; carriers of later steps are strewn
with such words, and candidates have to override them.  The far-out go on, and nothing is judged.
Published searches begin with random tokens instead; here each single token has been tried.

shortest    the shortest texts that hold an item, and what the model says of them
distances   how far out each item is, and who goes on
labels      which words argue for each label, and what overrides them
"""
