"""What is measured in a data set, in numbers: the fingerprint and the anatomy that its labels show."""
