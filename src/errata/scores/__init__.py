"""From evidence to trust: pure functions on arrays, one file per idea; nothing is trained or stored here.

- :mod:`errata.scores.confident`: which labels out-of-sample probabilities contradict (confident learning);
- :mod:`errata.scores.ood`: how far an input is from the data.
"""
