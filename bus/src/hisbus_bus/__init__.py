"""The bus: what runs between a hospital's information system and the agents. The command is ``hisbus``."""
