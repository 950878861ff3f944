"""Bytes of a file as they come, unpacked if it is packed: in bounded pieces, with a guard against bombs."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from app.contributions.formats.draft import Refusal

PIECE = 1 << 18
_DENSEST = 300
"""Text repeats itself, but not three hundred times over. Looked at after the first 64 MB."""
_FROM = 64 << 20


class Unreadable(Exception):
    """The file cannot be read on from here."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Source:
    """A file's bytes. `consumed` counts what was read of the file itself, for progress."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.consumed = 0
        self._file = file
        self._given = 0

    def pieces(self) -> Iterator[bytes]:
        """The content in pieces. Raises Unreadable: file_damaged, file_too_dense."""
        if self.name.endswith(".gz"):
            return self._guarded(self._gzip())
        if self.name.endswith(".zst"):
            return self._guarded(self._zstd())
        return self._raw(PIECE)

    def _raw(self, size: int) -> Iterator[bytes]:
        while data := self._file.read(size):
            self.consumed += len(data)
            yield data

    def _guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                self._given += len(piece)
                if self._given > _FROM and self._given > self.consumed * _DENSEST:
                    raise Unreadable(
                        Refusal(self.name, "file_too_dense", f"It unpacks to over {_DENSEST} times its size; unpack it yourself.")
                    )
                if piece:
                    yield piece
        except (zlib.error, zstandard.ZstdError):
            raise self._damaged() from None

    def _damaged(self) -> Unreadable:
        return Unreadable(Refusal(self.name, "file_damaged", "It does not unpack to its end; fetch or pack it again."))

    def _gzip(self) -> Iterator[bytes]:
        unpack, begun = zlib.decompressobj(31), False
        for data in self._raw(1 << 16):
            while data:
                if unpack.eof:
                    data = data.lstrip(b"\x00")  # padding between and after members (RFC 1952, gzip's own habit)
                    if not data:
                        break
                    unpack, begun = zlib.decompressobj(31), False
                begun = True
                yield unpack.decompress(data, PIECE)
                data = unpack.unconsumed_tail or unpack.unused_data
        while begun and not unpack.eof:
            more = unpack.decompress(unpack.unconsumed_tail, PIECE)
            if not more:
                raise self._damaged()
            yield more

    def _zstd(self) -> Iterator[bytes]:
        # In slices: the library has no bound on what one call gives, but a block gives 128 kB at most and takes 4 bytes.
        make = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
        unpack, begun = make(), False
        for data in self._raw(512):
            while data:
                if unpack.eof:
                    unpack, begun = make(), False
                begun = True
                yield unpack.decompress(data)
                data = unpack.unused_data if unpack.eof else b""
        if begun and not unpack.eof:
            raise self._damaged()
