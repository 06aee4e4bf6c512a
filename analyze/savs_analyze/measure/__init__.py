"""Numbers over samples and draws, from arrays alone: metrics, intervals, confusions."""
