"""CVAT: pictures in "CVAT for images 1.1" XML, alone or zipped with the pictures; and back.

A picture goes out with the proposed class as its tag, whose attribute ``checked`` is off; who has looked at it switches
that on, after changing the tag's class where it is wrong. Only pictures with a checked tag (or one that has no such
attribute) are decided when they come back. A tag of the label ``DROP_TAG`` leaves the picture out.

Boxes, masks and several tags go out as they are proposed, and beside them a tag ``SHOWN_TAG`` with that attribute: a
picture counts as decided once it is on. Where no picture of a file has such a tag, all that the file lists count.

References
----------
CVAT, XML annotation format, version 1.1. https://docs.cvat.ai/docs/other/xml_format
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET
from xml.parsers import expat

from errata.errors import DataError
from errata.exchange.cvat_shapes import KINDS, Shape, label_of, shapes
from errata.exchange.items import DROP, Answer, Item, Known, Picture, fault

__all__ = ["CHECKED", "DROP_TAG", "SHOWN_TAG", "dump", "dump_zip", "read"]

CHECKED, DROP_TAG, SHOWN_TAG, NAME_TAG = "checked", "(drop this picture)", "(as shown)", "annotations.xml"
VERSIONS = ("1.0", "1.1")
LARGEST = 1 << 30  # bytes of XML that are read


def dump(some: Iterable[Item], classes: Sequence[str], url: str | None = None) -> bytes:
    """The annotations as XML, for a task that has the pictures already."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    listed = [(item, item.picture) for item in some if item.picture is not None]
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task, "name").text = "errata"
    ET.SubElement(task, "size").text = str(len(listed))
    ET.SubElement(task, "mode").text = "annotation"
    labels = ET.SubElement(task, "labels")
    whole = next((item.whole for item, _ in listed if item.whole is not None), None)
    kind = "tag" if whole is None else KINDS.get(whole.form.task, "tag")
    for name in classes:
        _label(labels, name, kind, checked=whole is None)
    for name in (DROP_TAG,) if whole is None else (DROP_TAG, SHOWN_TAG):
        _label(labels, name)
    for number, (item, picture) in enumerate(listed):
        size = {"width": str(picture.width), "height": str(picture.height)}
        image = ET.SubElement(root, "image", {"id": str(number), "name": picture.name, **size})
        if item.whole is not None:
            _whole(image, item)
            continue
        chosen, checked = _tag(item)
        if chosen is not None:
            _add_tag(image, chosen, checked)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _add_tag(image: ET.Element, name: str, checked: bool) -> None:
    tag = ET.SubElement(image, "tag", {"label": name, "source": "manual" if checked else "auto"})
    ET.SubElement(tag, "attribute", {"name": CHECKED}).text = "true" if checked else "false"


def _whole(image: ET.Element, item: Item) -> None:
    """A label that is no class: its shapes or tags, and whether somebody has looked at them."""
    if item.whole is None:
        return
    answer = next((one for one in reversed(item.answers) if one.action != "skip"), None)
    label = item.whole.proposed if answer is None else item.whole.decided(answer)
    source = "auto" if answer is None else "manual"
    for shape in shapes(item, label):
        ET.SubElement(image, shape.tag, {"label": shape.label, "source": source, **shape.told})
    dropped = answer is not None and answer.action == DROP
    _add_tag(image, DROP_TAG if dropped else SHOWN_TAG, answer is not None)


def dump_zip(some: Iterable[Item], classes: Sequence[str], url: str | None = None) -> bytes:
    """The annotations and the pictures in a zip file."""
    listed = list(some)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(NAME_TAG, dump(listed, classes))
        for item in listed:
            if item.picture is not None:
                archive.writestr(f"images/{item.picture.name}", _content(item.picture))
    return buffer.getvalue()


def _content(picture: Picture) -> bytes:
    if picture.path is None and picture.png is None:
        raise DataError(
            f"The picture {picture.name} is not known, so it can't go into a .zip. Say where the pictures are with "
            "--images (images=), or write .xml."
        )
    return picture.png or b"" if picture.path is None else picture.path.read_bytes()


def _label(labels: ET.Element, name: str, kind: str = "tag", *, checked: bool = True) -> None:
    label = ET.SubElement(labels, "label")
    ET.SubElement(label, "name").text = name
    ET.SubElement(label, "type").text = kind
    if not checked:
        ET.SubElement(label, "attributes")
        return
    attribute = ET.SubElement(ET.SubElement(label, "attributes"), "attribute")
    told = {"name": CHECKED, "mutable": "False", "input_type": "checkbox", "default_value": "false", "values": "false"}
    for key, value in told.items():
        ET.SubElement(attribute, key).text = value


def _tag(item: Item) -> tuple[str | None, bool]:
    """The tag's label, and whether it is checked: the last decision, or else the proposal."""
    for answer in reversed(item.answers):
        if answer.action == DROP:
            return DROP_TAG, True
        if answer.action in ("keep", "relabel"):
            return answer.label or item.given, True
    return item.proposed, False


# -- back -------------------------------------------------------------------------------------------------------------


def read(path: Path, known: Known, reviewer: str = "", rows: Mapping[str, Any] | None = None) -> list[Answer]:
    """The decisions in an export, .xml or the .zip that holds it.

    Parameters
    ----------
    path : the file
    known : the ledger's rows and classes
    reviewer : who decided; CVAT does not tell
    rows : the row of each picture's name

    Raises
    ------
    DataError
        where the file is none of CVAT's, has a document type, or names unknown pictures or classes
    """
    parsed = _Reader(str(path)).read(_xml(path))
    by_name = dict(rows or {})
    by_end: dict[str, Any] = {}
    for name, row in by_name.items():
        end = PurePosixPath(name).name
        by_end[end] = None if end in by_end else row  # a file name that occurs twice names no row
    told = any(tag.label in (SHOWN_TAG, DROP_TAG) for image in parsed.images for tag in image.shapes)
    answers = []
    for image in parsed.images:
        checked = [shape for shape in image.shapes if shape.tag == "tag" and _is_checked(shape.told)]
        if not checked and (known.form is None or told):
            continue
        row = by_name.get(image.name, by_end.get(PurePosixPath(image.name).name))
        if row is None:
            raise fault(image.where, "a picture of the ledger's data", image.name)
        said = {"reviewer": reviewer, "when": parsed.updated}
        labels = {shape.label for shape in checked}
        if DROP_TAG in labels:
            answers.append(Answer(known.row(row, image.where), DROP, **said))
        elif known.form is None:
            if len(labels) > 1:
                raise fault(image.where, f"one class for {image.name}", sorted(labels))
            answers.append(known.answer(image.where, row, checked[0].label, **said))
        elif not told or SHOWN_TAG in labels:
            answers.append(_of_shapes(image, row, known, said))
    return answers


def _of_shapes(image: _Image, row: Any, known: Known, said: dict[str, str]) -> Answer:
    form = known.form
    found = [shape for shape in image.shapes if shape.label not in (SHOWN_TAG, DROP_TAG)]
    if form is None:
        raise fault(image.where, "a class", "shapes")
    return known.whole(image.where, row, lambda position: label_of(form, position, found, image.size), **said)


def _is_checked(attributes: Mapping[str, str]) -> bool:
    return attributes.get(CHECKED, "true").strip().lower() == "true"


def _xml(path: Path) -> bytes:
    try:
        if not zipfile.is_zipfile(path):
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            found = [entry for entry in archive.infolist() if PurePosixPath(entry.filename).name == NAME_TAG]
            if len(found) != 1:
                raise fault(str(path), f"one {NAME_TAG} in the archive", archive.namelist()[:8])
            if found[0].file_size > LARGEST:
                raise fault(str(path), f"{NAME_TAG} of at most {LARGEST:,} bytes", found[0].file_size)
            return archive.read(found[0])
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} can't be read: {error}.") from error


class _Image(NamedTuple):
    """An image of the file: its name, what is in it, where that stands, its width and height."""

    name: str
    shapes: list[Shape]
    where: str
    size: tuple[int, int]


class _Reader:
    """Reads the tags and shapes of CVAT's XML. No document type is taken, so no entity can be defined."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.images: list[_Image] = []
        self.updated = ""
        self._open: list[str] = []
        self._text: list[str] = []
        self._attribute = ""
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text_handler

    def read(self, content: bytes) -> _Reader:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            raise fault(f"{self.name}, line {error.lineno}", "XML", expat.ErrorString(error.code)) from error
        return self

    def _where(self) -> str:
        return f"{self.name}, line {self._parser.CurrentLineNumber}"

    def _refuse(self, *_: Any) -> None:
        raise fault(self._where(), "XML without a document type (<!DOCTYPE ...>)", "one")

    def _text_handler(self, text: str) -> None:
        self._text.append(text)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text = []
        if not self._open and tag != "annotations":
            raise fault(self._where(), "<annotations>, as CVAT for images 1.1 begins", f"<{tag}>")
        self._open.append(tag)
        depth = self._open[1:]
        if depth == ["image"]:
            sides = [int(attributes[side]) if attributes.get(side, "").isdigit() else 0 for side in ("width", "height")]
            self.images.append(_Image(self._needed(attributes, "name", tag), [], self._where(), (sides[0], sides[1])))
        elif len(depth) == 2 and depth[0] == "image":
            told = {} if tag == "tag" else dict(attributes)
            self.images[-1].shapes.append(Shape(tag, self._needed(attributes, "label", tag), told))
        elif depth == ["image", "tag", "attribute"]:
            self._attribute = self._needed(attributes, "name", tag)
        elif depth == ["track"]:
            raise fault(self._where(), "an export in 'CVAT for images 1.1'", "<track>, which belongs to videos")

    def _end(self, tag: str) -> None:
        depth, text = self._open[1:], "".join(self._text).strip()
        if depth == ["image", "tag", "attribute"]:
            told = self.images[-1].shapes[-1].told
            self.images[-1].shapes[-1] = self.images[-1].shapes[-1]._replace(told={**told, self._attribute: text})
        elif depth == ["version"] and text not in VERSIONS:
            raise fault(self._where(), f"version {' or '.join(VERSIONS)}", text)
        elif tag == "updated" and depth[:1] == ["meta"]:
            self.updated = text
        self._open.pop()
        self._text = []

    def _needed(self, attributes: dict[str, str], name: str, tag: str) -> str:
        if name not in attributes:
            raise fault(self._where(), f"'{name}' in <{tag}>", sorted(attributes))
        return attributes[name]
