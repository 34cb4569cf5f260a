"""The shared model: one client in front of one vLLM server. ``client`` is the only way to it.

Nothing is imported here: a plugin's process loads ``schema`` alone, and never what opens connections.
"""
