"""Conversions: one export, or many."""
