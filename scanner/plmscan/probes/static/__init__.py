"""Probes that read the files, before anything is loaded; one file a probe."""
