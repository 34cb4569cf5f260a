"""Where agents run: their processes, what is asked of them, and the shared model."""
