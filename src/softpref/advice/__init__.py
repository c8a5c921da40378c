"""What ``softpref advise`` needs: the shipped table of evidence and the arithmetic on it."""
