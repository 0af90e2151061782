"""Checksums of saved data: a byte that flipped on disk is found before it is used.

Orbax finds missing and truncated files, but does not check the content of arrays.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import numpy as np


def digest_of(tree: Any) -> str:
    """A hash of a tree's arrays: of their paths, types, shapes and bytes.

    For an array on the devices of several processes, this process's first copy is used.
    """
    known = hashlib.sha256()
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): x
        for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
    for name, x in sorted(named.items()):
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            x = x.addressable_data(0)
        x = np.asarray(x)
        known.update(f"{name} {x.dtype} {x.shape} ".encode())
        known.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8))
    return known.hexdigest()[:24]


def seal(content: Any) -> dict[str, Any]:
    """JSON content together with its digest."""
    return {"content": content, "digest": _of_json(content)}


def unseal(sealed: Any) -> Any:
    """The content that was sealed.

    Raises:
      ValueError: the content has changed.
    """
    if not isinstance(sealed, dict) or sealed.keys() != {"content", "digest"}:
        raise ValueError("it has no digest")
    if _of_json(sealed["content"]) != sealed["digest"]:
        raise ValueError("its content does not match its digest")
    return sealed["content"]


def _of_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
