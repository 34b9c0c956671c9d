"""A registry of thousands of models, checked on a cluster: an extra (``plmscan[fleet]``).

`plmscan.fleet.listing` finds the models, `plmscan.fleet.course` has them fetched, examined and
searched, each step a task with needs of its own (`plmscan.fleet.costs`, `plmscan.fleet.tasks`), and
`plmscan.fleet.ledger` keeps what came of it: a report a model, written once and whole, and an index
of all.  `plmscan.fleet.drift` compares two runs, and `plmscan.fleet.summary` tells one.

Only `plmscan.fleet.cluster` knows Ray, and nothing imports it before a run begins.
"""
