"""Checksums: equal for equal content only, on any machine."""

import hashlib
import json
import struct
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.runs.digests import digest_of, seal, unseal


class Pair(NamedTuple):
    b: object
    a: object


def test_equal_for_equal_content():
    tree = {"b": np.float32([1, 2]), "a": {"c": np.int32(3)}}
    content = b"a/c int32 () " + bytes([3, 0, 0, 0]) + b"b float32 (2,) " + struct.pack("<2f", 1, 2)
    digest = digest_of(tree)
    assert digest == hashlib.sha256(content).hexdigest()[:24]
    assert digest == digest_of({"a": {"c": jnp.int32(3)}, "b": jnp.float32([1, 2])})
    pair = Pair(b=np.ones(2), a=np.zeros(2))
    assert digest_of(pair) == digest_of({"a": np.zeros(2), "b": np.ones(2)})
    assert digest_of(np.ones((2, 3)).T) == digest_of(np.ones((3, 2)))


@pytest.mark.parametrize(
    "other",
    [
        {"b": np.float32([1, 2]), "a": {"c": np.int32(4)}},
        {"b": np.float32([1, np.nextafter(np.float32(2), 3, dtype=np.float32)]), "a": {"c": 3}},
        {"b": np.float32([[1, 2]]), "a": {"c": np.int32(3)}},
        {"b": np.float64([1, 2]), "a": {"c": np.int32(3)}},
        {"d": np.float32([1, 2]), "a": {"c": np.int32(3)}},
        {"b": np.float32([1, 2])},
    ],
)
def test_another_for_other_content(other):
    assert digest_of(other) != digest_of({"b": np.float32([1, 2]), "a": {"c": np.int32(3)}})


def test_sealed_json():
    content = {"rows": [1, 0.1, None], "name": "å", "nan": float("nan")}
    sealed = json.loads(json.dumps(seal(content)))
    assert repr(unseal(sealed)) == repr(content)
    for damaged in (
        sealed | {"content": content | {"rows": [1, 0.2, None]}},
        sealed | {"digest": "0" * 24},
        {"content": content},
        content,
        None,
    ):
        with pytest.raises(ValueError, match="digest"):
            unseal(damaged)
