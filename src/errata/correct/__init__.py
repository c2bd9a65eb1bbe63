"""Correcting: from a ledger and decisions to a corrected data set in the input's own format, and what it gave.

``errata.apply`` and ``errata.compare`` are the two verbs; ``apply_to_file`` is what the command line calls. One file
per format knows how to change labels there and nothing else.
"""
