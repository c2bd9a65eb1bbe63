"""What merging networks needs: which units may be permuted, who belongs to whom, and the merged layers.

``spec`` follows a network (``tracing``, ``rules``, ``axes``, ``shapes``), ``matching`` finds partners, ``blocks``
divides units into merged and separate ones, ``building`` puts parameters together, ``regression`` and ``least_squares``
fit the merged layers, ``ratios`` spends a budget, and ``modules`` holds layers in the form that a merged network needs.
"""
