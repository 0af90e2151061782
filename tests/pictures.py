"""Picture files that hold less than they say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path


def claim_png(path: Path, width: int, height: int) -> Path:
    """A PNG whose header says that it is a greyscale picture of that size; it has no pixels."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b"")
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (*chunks, (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return path
