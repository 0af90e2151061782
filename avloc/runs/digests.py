"""Checksums of what is saved: a byte that flipped on a disk is found before it is used.

Orbax finds files that are missing or cut off, but takes arrays as the disk gives them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jax
import numpy as np


def digest_of(tree: Any) -> str:
    """A name of a tree's arrays: of their places in it, types, shapes and bytes.

    Of an array that lies on several processes' devices, this process's first copy counts.
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
    """JSON content with its digest beside it."""
    return {"content": content, "digest": _of_json(content)}


def unseal(sealed: Any) -> Any:
    """The content that was sealed.

    Raises:
      ValueError: it is not what was sealed.
    """
    if not isinstance(sealed, dict) or sealed.keys() != {"content", "digest"}:
        raise ValueError("it has no digest")
    if _of_json(sealed["content"]) != sealed["digest"]:
        raise ValueError("its content does not fit its digest")
    return sealed["content"]


def _of_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
