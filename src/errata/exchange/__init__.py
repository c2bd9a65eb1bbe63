"""To other labelling tools and back: Label Studio, Argilla, CVAT, and tables in CSV.

What looks wrong goes out with its given and its proposed label; what people decided there comes back as decisions, into
the record of the review or into a table that ``errata apply`` takes. Files are read as data only: nothing is unpickled,
and XML with a document type is refused.
"""

from __future__ import annotations

from errata.exchange.items import Answer, Item
from errata.exchange.traffic import FORMATS, bring_in, read_answers, write_items

__all__ = ["FORMATS", "Answer", "Item", "bring_in", "read_answers", "write_items"]
