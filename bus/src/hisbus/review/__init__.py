"""The review step."""
