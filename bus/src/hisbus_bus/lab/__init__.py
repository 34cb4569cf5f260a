"""Trying without effect: replay, rehearsal, evaluation."""
