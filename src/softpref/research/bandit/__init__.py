"""The paper's bandit: two figures, where they hold, and the map behind ``softpref advise``."""
