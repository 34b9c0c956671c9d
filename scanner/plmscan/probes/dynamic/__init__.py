"""Probes that run the model; one file a probe."""
