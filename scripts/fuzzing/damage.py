"""Damage to files, drawn by a generator of random numbers: of bytes, of JSON values, of lines."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

_RAW = "@raw "
_NUMBERS = (0, 1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)
_ODD: tuple[Any, ...] = (
    *(None, [], {}, True, False, "", 0, -1, 0.5, 1e308, -1e308, 2**31, 2**64, 10**30),
    *(math.nan, math.inf, -math.inf, [[]], [None], {"a": None}, {"": {}}, [0] * 1000),
    *("1", "NaN", " ", "../../outside", "/dev/zero", "/dev/null", "~", ".", "a/b", "a\nb", "a\tb"),
    *("\0", "\ud800", "\u202e", "\x1b[31m", "x" * 5000, "%s %d {}", "é" * 200, "<b>&amp;"),
    # What `json.dumps` does not write.
    *(_RAW + raw for raw in ("1e999", "1" * 5000, "-0", "[" * 50000 + "]" * 50000, "01")),
)
_WORDS = ("", ",", '"', "'", "\0", "NaN", "-1", "1e999", "9" * 400, "../../outside", "\x1b[0m", "é")


def damage_bytes(data: bytes, rng: Random) -> bytes:
    """One to three faults, half of them near the start or the end, where headers are."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        _fault(content, rng)
    return bytes(content)


def _fault(content: bytearray, rng: Random) -> None:
    size = len(content)
    near = min(size, 256)
    places = (rng.randrange(near + 1), size - rng.randrange(near + 1), rng.randint(0, size))
    at = rng.choice((*places, places[-1]))
    length = min(size - at, rng.choice((1, 4, 16, 256, max(1, size // 4))))
    block = bytes(content[at : at + length])
    match rng.randrange(9):
        case 0:
            for place in range(at, at + length):
                if rng.random() < 0.2:
                    content[place] ^= 1 << rng.randrange(8)
        case 1:
            del content[at:]
        case 2:
            del content[at : at + length]
        case 3:
            content[at:at] = block * rng.choice((1, 2, 20))
        case 4:
            content[at : at + length] = rng.choice((b"\0", b"\xff")) * length
        case 5:
            content[at : at + length] = rng.randbytes(length)
        case 6:  # a number of a header
            wide = rng.choice((2, 4, 8))
            number = rng.choice(_NUMBERS) & (256**wide - 1)
            content[at : at + wide] = number.to_bytes(wide, rng.choice(("little", "big")))
        case 7:
            other = rng.randint(0, size)
            content[at : at + length] = content[other : other + length]
        case 8:
            if rng.random() < 0.2:
                content[:] = rng.choice((b"", b"\0" * 64, b"this is text\n", b"PK\x03\x04", b"{"))
            else:
                content += rng.randbytes(length)


def damage_json(text: str, rng: Random) -> bytes:
    """A JSON text with values replaced, fields taken away, renamed or exchanged; or its bytes."""
    if rng.random() < 0.2:
        return damage_bytes(text.encode(), rng)
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _changed(value, rng)
    written = json.dumps(value)
    for raw in _ODD:
        if isinstance(raw, str) and raw.startswith(_RAW):
            written = written.replace(json.dumps(raw), raw.removeprefix(_RAW))
    return written.encode()


def _changed(value: Any, rng: Random) -> Any:
    """The value with one fault somewhere inside it, deep as often as not."""
    keys = (
        list(value)
        if isinstance(value, dict)
        else list(range(len(value)))[:200]
        if (isinstance(value, list))
        else []
    )
    if not keys or rng.random() < 0.12:
        return deepcopy(rng.choice(_ODD))
    key = rng.choice(keys)
    if rng.random() < 0.6:
        value[key] = _changed(value[key], rng)
        return value
    match rng.randrange(5):
        case 0:
            del value[key]
        case 1:
            value[key] = deepcopy(rng.choice(_ODD))
        case 2:
            other = rng.choice(keys)
            value[key], value[other] = value[other], value[key]
        case 3 if isinstance(value, dict):
            value[rng.choice(("", "../x", "\0", str(key).upper(), f"{key} "))] = value.pop(key)
        case 3:
            value.append(deepcopy(value[key]))
        case 4:
            value[key] = [value[key]] if rng.random() < 0.5 else {"value": value[key]}
    return value


def damage_lines(text: str, rng: Random) -> bytes:
    """A text of lines with lines lost, twice, cut or joined, and cells exchanged; or its bytes."""
    if rng.random() < 0.2:
        return damage_bytes(text.encode(), rng)
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        mark = next((mark for mark in ",&; \t" if mark in lines[at]), " ")
        cells = lines[at].split(mark)
        match rng.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randint(0, len(lines)), lines[at])
            case 2:
                lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
            case 3:
                cells[rng.randrange(len(cells))] = rng.choice(_WORDS)
                lines[at] = mark.join(cells)
            case 4:
                rng.shuffle(cells)
                lines[at] = mark.join(cells)
            case 5:
                lines[at] = rng.choice((",", ";", "", "\t")).join(cells)
            case 6:
                lines[at] += rng.choice(_WORDS)
    ending = rng.choice(("\n", "\n", "\r\n", "\r"))
    start = b"\xef\xbb\xbf" if rng.random() < 0.1 else b""
    return start + ending.join([*lines, ""]).encode(errors="surrogatepass")


def damage_file(path: Path, rng: Random) -> None:
    """Damages a file as its kind asks."""
    how = {".json": damage_json, ".jsonl": damage_lines, ".txt": damage_lines, ".csv": damage_lines}
    damage = how.get(path.suffix.lower())
    content = path.read_bytes()
    if damage is None or path.suffix == ".xml":
        path.write_bytes(damage_bytes(content, rng))
    else:
        path.write_bytes(damage(content.decode(), rng))


def odd_text(rng: Random) -> str:
    """A value as it is typed behind `--config.FIELD=`."""
    value = rng.choice(_ODD)
    if isinstance(value, str):
        return value.removeprefix(_RAW).replace("\0", "").encode(errors="replace").decode()
    return repr(value)
