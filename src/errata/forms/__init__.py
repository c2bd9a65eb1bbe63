"""The form that an item's label has, where it is no class: tokens, boxes, masks, sets of labels, numbers.

The floor between what finds errors and what lets people decide on them: the review, the ways to other tools and back,
and the correction ask here how a decision on such an item is written, and what it changes.
"""

from __future__ import annotations

from errata.forms.form import CLASSES, DRAWN, Form, Part, place_of_labels, task_of
from errata.forms.opening import form_of

__all__ = ["CLASSES", "DRAWN", "Form", "Part", "form_of", "place_of_labels", "task_of"]
