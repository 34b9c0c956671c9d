"""Probes that compare the model with a reference."""
