"""Adapters: what an input format is, how formats are found, detected and merged."""
