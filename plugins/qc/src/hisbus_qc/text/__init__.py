"""Rules whose words must be understood: the agent ``qc-text`` puts them to the model, one question for each suspicion.

Rules find what may be wrong, the model says whether it is, and what it quotes must stand in the record.
"""
