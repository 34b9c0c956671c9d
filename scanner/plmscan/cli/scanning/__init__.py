"""From what was asked to a survey of models: ``plan``, then ``surveying``.

``saved`` gives the survey of an earlier run, ``store`` keeps verdicts, and ``waiving`` tells which
waivers matched nothing.
"""
