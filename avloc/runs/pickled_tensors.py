"""Reads the instructions of a pickle of torch's tensors without running any code.

A pickle is a list of instructions for a machine with a stack. Ours knows those that dictionaries of
tensors are written with, and ten names. A tensor is described here; its numbers lie elsewhere.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple

import numpy as np

MOST_INSTRUCTIONS = 4_000_000
"""A network has about 200 for each tensor."""

_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",  # the upper half of a float32
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class Refused(ValueError):
    """The pickle holds what no dictionary of tensors needs, or is damaged."""


class Storage(NamedTuple):
    """Where numbers lie: the `count` numbers that the file calls `key`, of the type `kind`."""

    kind: str
    key: str
    count: int

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(_TYPES[self.kind])


class Tensor(NamedTuple):
    """Numbers of a storage, from `offset` on; everything is counted in numbers, not bytes.

    It lies inside its storage.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Ordered(dict):
    """A `collections.OrderedDict`; unlike a plain dictionary it may have attributes."""


def read_instructions(stream: IO[bytes]) -> tuple[Any, dict[str, Storage]]:
    """What one pickle describes: dictionaries, lists, texts, numbers, `Tensor`s.

    The stream is left at the byte after it.

    Returns:
      That, and all storages that it names, by key.

    Raises:
      Refused: a name or an instruction that tensors do not need, or a damaged pickle.
    """
    storages: dict[str, Storage] = {}
    try:
        return _run(stream, storages), storages
    except Refused:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as fault:
        raise Refused("its instructions are damaged") from fault


def _run(stream: IO[bytes], storages: dict[str, Storage]) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    for count, (opcode, given, _) in enumerate(pickletools.genops(stream)):
        if count >= MOST_INSTRUCTIONS:
            raise Refused(f"it has more than {MOST_INSTRUCTIONS} instructions")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(given)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(given)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list}.get(opcode.name, tuple)())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(opcode.name[-1]) :] = [tuple(stack[-int(opcode.name[-1]) :])]
            case "APPEND" | "APPENDS":
                items = marked() if opcode.name == "APPENDS" else [stack.pop()]
                _of(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = marked() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _fill(_of(stack[-1], dict), zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[given] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[given])
            case "GLOBAL":
                stack.append(_named(given.replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{module}.{name}"))
            case "BINPERSID":
                storage = _storage(*stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise Refused(f"it describes the storage {storage.key[:40]!r} in two ways")
                stack.append(storage)
            case "REDUCE" | "NEWOBJ":
                arguments = _of(stack.pop(), tuple)
                stack.append(_of(stack.pop(), _Maker).make(*arguments))
            case "BUILD":  # attributes: of a state dict its `_metadata`, of a parameter its hooks
                stack.pop()
                _of(stack[-1], _Ordered, Tensor)
            case name:
                raise Refused(f"it has the instruction {name}, which no tensor needs")
    raise Refused("its instructions have no end")


def _of(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError
    return value


def _fill(held: dict, pairs: Any) -> dict:
    for key, value in pairs:
        held[_of(key, str, int)] = value
    return held


class _Maker(NamedTuple):
    """What a name of the list stands for. It is no tuple of a pickle, as those have no `make`."""

    make: Callable[..., Any]


def _storage(what: Any, kind: Any, key: Any, place: Any, count: Any, view: Any = None) -> Storage:
    if what != "storage" or view is not None:
        raise Refused("it names a storage in a way that torch gave up in 2018")
    kind = _of(kind, _Maker).make()
    return Storage(_of(kind, str), _of(key, str), _size(count))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    sizes = tuple(map(_size, _of(shape, tuple)))
    steps = tuple(map(_size, _of(strides, tuple)))
    tensor = Tensor(_of(storage, Storage), _size(offset), sizes, steps)
    if len(sizes) != len(steps) or len(sizes) > 32:
        raise TypeError
    last = tensor.offset + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    if math.prod(sizes) and last >= storage.count:
        raise Refused("an array is larger than its numbers in the file")
    return tensor


def _size(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise TypeError
    return number


def _parameter(tensor: Any, *rest: Any) -> Tensor:
    return _of(tensor, Tensor)


_MAKERS = {
    "collections.OrderedDict": _Maker(lambda pairs=(): _fill(_Ordered(), pairs)),
    "torch.Size": _Maker(lambda sizes=(): tuple(sizes)),
    "torch._utils._rebuild_tensor": _Maker(_tensor),
    "torch._utils._rebuild_tensor_v2": _Maker(_tensor),
    "torch._utils._rebuild_parameter": _Maker(_parameter),
    "torch.nn.parameter.Parameter": _Maker(_parameter),
    **{f"torch.{kind}": _Maker(lambda kind=kind: kind) for kind in _TYPES},
}


def _named(name: str) -> _Maker:
    if name not in _MAKERS:
        raise Refused(f"it holds {name[:80]}")
    return _MAKERS[name]
