"""Probes that tell of checks of other models that belong to the one that is checked."""
