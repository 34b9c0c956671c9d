"""Probes that read given texts with a model."""
