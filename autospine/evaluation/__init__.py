"""Arrays in, numbers out: the metrics, and scores of whole folders."""
