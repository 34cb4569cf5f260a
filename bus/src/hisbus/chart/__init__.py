"""The chart step."""
