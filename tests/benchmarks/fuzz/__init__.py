"""Broken and hostile files for the probes of files, by the thousand."""
