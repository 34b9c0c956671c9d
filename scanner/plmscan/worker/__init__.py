"""A scan's worker: a process of its own that opens the files, loads the model, and can be ended.

The process that was started finds and fetches the model, judges, and reports.  Everything that
opens a file of the model happens in the worker, which has no network, starts no program, and has
bounds on time and memory (`plmscan.worker.bounds`).  What it tells comes back through a pipe; what
it breaks of is a result, and the other parts go on in a fresh worker.

`plmscan.worker.process` starts workers and imports little, so that one can be under way before
anything else is imported; `plmscan.worker.supervisor` has them execute a scan;
`plmscan.worker.server` is what runs inside.
"""
