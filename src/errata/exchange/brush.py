"""Label Studio's run lengths of brushes: an area as a list of bytes.

The bytes are a stream of bits. Its head says how many values there are, of how many bits each, and how many bits the
length of a block takes in four sizes. Then come blocks: a bit that says whether one value is repeated, two that choose
the size of the length, the length less one, and the value or the values. The values are an image's four channels,
pixel by pixel; what is painted is where the last channel is not 0.

References
----------
Label Studio, Units of image annotations; RLE of brushes. https://labelstud.io/tags/brushlabels
rle-pack, the format of the stream. https://thi.ng/rle-pack
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError
from errata.scores.runs import runs_of

__all__ = ["packed", "unpacked"]

CHANNELS = 4
WORD = 8
SIZES = (3, 7, 11, 16)  # bits of a block's length, in the four sizes


def packed(area: NDArray[np.bool_]) -> list[int]:
    """An area (H, W) as Label Studio's brush has it.

    Examples
    --------
    >>> area = np.array([[False, True, True], [False, False, True]])
    >>> bool((unpacked(packed(area), 2, 3) == area).all())
    True
    """
    bits = _bits(area.size * CHANNELS, 32) + _bits(WORD - 1, 5) + "".join(_bits(size - 1, 4) for size in SIZES)
    blocks = [bits]
    for number, run in enumerate(runs_of(area)):
        value = "1" * WORD if number % 2 else "0" * WORD
        left = run * CHANNELS
        while left:
            length = min(left, 1 << SIZES[-1])
            choice = next(i for i, size in enumerate(SIZES) if length <= 1 << size)
            blocks.append("1" + _bits(choice, 2) + _bits(length - 1, SIZES[choice]) + value)
            left -= length
    stream = "".join(blocks)
    stream += "0" * (-len(stream) % 8)
    return np.packbits(np.frombuffer(stream.encode(), dtype=np.uint8) - ord("0")).tolist()


def _bits(value: int, count: int) -> str:
    return format(value, f"0{count}b")


def unpacked(stream: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The area (H, W) that a brush has painted.

    Raises
    ------
    DataError
        where the bytes are no such stream, or one of another size
    """
    try:
        data = np.asarray(stream)
        if data.dtype.kind not in "iu" or data.ndim != 1 or not ((data >= 0) & (data <= 255)).all():
            raise ValueError
        reader = _Bits(np.unpackbits(data.astype(np.uint8)))
        count, word = reader.number(32), reader.number(5) + 1
        sizes = [reader.number(4) + 1 for _ in range(4)]
        if count != height * width * CHANNELS:
            raise DataError(f"expected a brush of {width} x {height} pixels; found {count // CHANNELS:,} pixels")
        values = np.zeros(count, dtype=np.int64)
        at = 0
        while at < count:
            repeated = reader.number(1)
            length = reader.number(sizes[reader.number(2)]) + 1
            if at + length > count:
                raise ValueError
            values[at : at + length] = reader.numbers(1 if repeated else length, word)
            at += length
    except DataError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"expected a brush's run lengths (bytes); found {str(stream)[:60]}") from error
    return values[CHANNELS - 1 :: CHANNELS].reshape(height, width) > 0


class _Bits:
    """Numbers out of a stream of bits."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self.bits, self.at = bits, 0

    def number(self, size: int) -> int:
        return int(self.numbers(1, size)[0])

    def numbers(self, count: int, size: int) -> NDArray[np.int64]:
        """The next numbers of so many bits each."""
        stop = self.at + count * size
        if stop > len(self.bits):
            raise ValueError("the stream ends early")
        some = self.bits[self.at : stop].reshape(count, size).astype(np.int64)
        self.at = stop
        return some @ (1 << np.arange(size - 1, -1, -1, dtype=np.int64))
