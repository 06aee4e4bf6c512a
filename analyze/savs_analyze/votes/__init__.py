"""What decides, from arrays alone: similarities of vectors to classes, votes of heads."""
