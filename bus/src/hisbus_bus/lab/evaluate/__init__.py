"""Evaluation: runs an agent over cases whose answers are known, in this process, and says how it did.

Nothing is written but the report; no log, no database and no server is needed, but for the model where one is
configured.
"""
