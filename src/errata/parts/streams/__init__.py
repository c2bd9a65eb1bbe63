"""What stream learners share: clusters of labels, multi-label Hoeffding trees, their bounds and their leaves.

Nothing here needs torch. River brings the drift detectors: ``pip install 'errata[streams]'``.
"""
