"""A deployed classifier: what it answers, how sure it may be, and the file that holds it. From arrays alone."""
