"""The published evaluation, in plain loops over items and boxes: what protocols must equal."""

import cv2
import numpy as np
from sklearn.metrics import auc


def limit(rule, one, largest):
    """The value at which a rule cuts a resized map."""
    if rule.of == "quantile":
        value = np.sort(one.ravel())[int(one.size / 2)]
        # Scaled to 0..1, what is 1 is predicted even where the median is 1.
        return np.nextafter(value, np.float32(-np.inf)) if value == one.max() else value
    base = {"largest": largest, "own-maximum": one.max(), "absolute": np.float32(1)}[rule.of]
    return np.float32(rule.fraction) * np.float32(base)


def truth(boxes, size=224):
    """Pixels of `[x, y, w, h]` boxes."""
    pixels = np.zeros((size, size))
    for box in boxes:
        x, y, w, h = np.array(box) * size
        pixels[int(y) : int(y + h), int(x) : int(x + w)] = 1
    return pixels


def enlarge(one, size=224):
    return cv2.resize(one, (size, size), interpolation=cv2.INTER_LINEAR)


def iou(one, pixels, share):
    predicted = one > np.float32(share) * one.max()
    return np.sum(predicted * (pixels > 0)) / (np.sum(pixels) + np.sum(predicted * (pixels == 0)))


def scene(maps, boxes, share, tau=0.2):
    """CIoU and NSA of one scene.

    `maps`: `[K, h, w]`; `boxes`: `[x, y, w, h]` by the place of their category.
    """
    quiet = [np.mean(enlarge(m) <= np.float32(tau)) for k, m in enumerate(maps) if k not in boxes]
    ious = [iou(enlarge(maps[k]), truth(own), share) for k, own in boxes.items()]
    return np.mean(ious), np.mean(quiet)


def summary(scores, step):
    """Success at level `0.05 * step`, and the area under the curve, in per cent."""
    levels = [0.05 * i for i in range(21)]
    rates = [np.sum(np.array(scores) >= level) / len(scores) for level in levels]
    return 100 * rates[step], 100 * auc(levels, rates)
