"""The command ``hisbus``: one file for a group of commands."""
