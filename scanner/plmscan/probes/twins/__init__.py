"""Probes that read a model beside its twin, from which only what is judged makes it differ."""
