"""`.pth` files as torch wrote them before 2020, put together byte by byte."""

from collections.abc import Mapping

import numpy as np

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
KINDS = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
NONE = b"N"


def text(words: str) -> bytes:
    return b"X" + len(words.encode()).to_bytes(4, "little") + words.encode()


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def several(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def numbers(values) -> bytes:
    return several(*map(number, values))


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def dictionary(pairs: Mapping[str, bytes], empty: bytes = b"}") -> bytes:
    return empty + b"(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


ORDERED = name("collections", "OrderedDict") + b")R"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    parts = (text("storage"), name("torch", kind), text(key), text("cpu"), number(count), NONE)
    return several(*parts) + b"Q"


def tensor(stored: bytes, shape, strides, offset: int = 0) -> bytes:
    parts = (stored, number(offset), numbers(shape), numbers(strides), b"\x89", ORDERED)
    return name("torch._utils", "_rebuild_tensor_v2") + several(*parts) + b"R"


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def facts(order: bytes = b"\x88") -> bytes:
    return pickled(dictionary({"protocol_version": number(1001), "little_endian": order}))


def raw(array: np.ndarray) -> bytes:
    return array.size.to_bytes(8, "little") + array.tobytes()


def legacy(body: bytes, storages: Mapping[str, bytes], *, version=1001, about=None) -> bytes:
    """A whole file: `body` describes what is saved, `storages` are counts and numbers by key."""
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    head = MAGIC + pickled(number(version)) + (about or facts())
    return head + pickled(body) + pickled(keys) + b"".join(storages.values())


def saved(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `torch.save(state_dict)` wrote for these arrays."""
    described, storages = {}, {}
    for at, (called, array) in enumerate(arrays.items()):
        array = np.asarray(array)
        steps = [step // array.itemsize for step in array.strides]
        stored = storage(str(at), array.size, KINDS[array.dtype.name])
        described[called] = tensor(stored, array.shape, steps)
        storages[str(at)] = raw(array)
    state = dictionary(described, ORDERED)
    return legacy(state + dictionary({"_metadata": ORDERED}) + b"b", storages)
