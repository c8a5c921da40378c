"""Two responses become a probability that the first is better. A failed judgement is a third state, never p = ½."""
