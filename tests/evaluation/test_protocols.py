"""Protocols are declarations: what their rules give, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.evaluation import protocols
from avloc.evaluation.protocols import PROTOCOLS, Protocol, Threshold, get

MAPS = jnp.asarray([[[0.0, 0.5], [0.25, 0.5]], [[0.0, 2.0], [1.0, 0.0]]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Threshold("largest", 0.1), [0.4, 0.4]),
        (Threshold("own-maximum", 0.5), [0.25, 1.0]),
        (Threshold("absolute", 0.2), [0.2, 0.2]),
    ],
)
def test_thresholds(rule, expected):
    np.testing.assert_allclose(rule.value(MAPS, jnp.float32(4.0)), expected, rtol=1e-6)


def test_the_named_rules_are_the_published_ones():
    rules = {
        name: (p.task, p.threshold.of, p.threshold.fraction, p.cut, p.silent and p.silent.of)
        for name, p in PROTOCOLS.items()
    }
    assert rules == {
        "paper-solo": ("single", "largest", 0.1, 0.5, None),
        "paper": ("multiple", "largest", 0.1, 0.3, "largest"),
        "dsol-solo": ("single", "own-maximum", 0.1, 0.5, None),
        "dsol-synthetic": ("multiple", "own-maximum", 0.5, 0.3, "absolute"),
        "dsol-duet": ("multiple", "own-maximum", 0.2, 0.3, "absolute"),
        "ier-solo": ("single", "own-maximum", 0.1, 0.5, None),
        "ier": ("multiple", "own-maximum", 0.5, 0.3, "absolute"),
        "c2f-flickr": ("single", "own-maximum", 0.1, 0.5, None),
        "c2f-levels": ("multiple", "own-maximum", 0.1, 0.5, None),
        "levels": ("multiple", "own-maximum", 0.1, 0.5, None),
        "lvs-median": ("single", "quantile", 0.5, 0.5, None),
        "lvs-flickr": ("single", "quantile", 0.5, 0.5, None),
        "source-wise": ("multiple", "quantile", 0.5, 0.3, None),
        "half-maximum": ("single", "own-maximum", 0.5, 0.5, None),
    }
    assert get("dsol-duet").silent.fraction == 0.2

    def those(is_so):
        return {name for name, p in PROTOCOLS.items() if is_so(p)}

    assert those(lambda p: p.naming == "majority") == {"ier-solo", "ier"}
    assert those(lambda p: p.size != 224) == {"c2f-flickr", "c2f-levels", "levels"}
    assert those(lambda p: p.iou == "consensus") == {"c2f-flickr", "lvs-flickr"}
    assert those(lambda p: p.unit == "source") == {"source-wise"}
    assert those(lambda p: p.silent_at_tau) == {"dsol-synthetic", "dsol-duet"}
    dsol = {"dsol-solo", "dsol-synthetic", "dsol-duet"}
    assert those(lambda p: p.edges == "published") == dsol | {"c2f-levels"}
    assert those(lambda p: p.level_cuts == (0.5, 0.5, 0.3)) == {"c2f-levels", "levels"}
    assert those(lambda p: p.truth == "all") == {"c2f-levels"}


def test_exactly_0_3_passes_the_exact_levels_and_fails_the_published_ones():
    assert get("paper").success_cut <= 0.3
    assert get("dsol-duet").success_cut > 0.3
    assert get("dsol-solo").success_cut == 0.5


def test_published_levels_are_an_ulp_high_at_seven_places():
    published, exact = get("dsol-solo").success_levels, get("paper").success_levels
    high = [i for i in range(21) if published[i] > i / 20]
    assert high == [3, 6, 7, 12, 14, 17, 19]
    assert all(level <= i / 20 for i, level in enumerate(exact))
    np.testing.assert_allclose(exact, np.linspace(0, 1, 21), atol=2e-9)


def test_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match=r"no protocol 'papr'.*paper-solo.*half-maximum"):
        protocols.get("papr")


def test_a_silent_rule_goes_with_many_maps_only():
    with pytest.raises(ValueError, match="`silent` needs the task"):
        Protocol("odd", 1, "single", Threshold("absolute", 0.5), 0.5, Threshold("absolute", 0.2))


@pytest.mark.parametrize("field", ["unit", "level_cuts"])
def test_scenes_have_fields_of_their_own(field):
    value = {"unit": "source", "level_cuts": (0.5,)}[field]
    with pytest.raises(ValueError, match=f"`{field}` needs the task `multiple`"):
        Protocol("odd", 1, "single", Threshold("absolute", 0.5), 0.5, **{field: value})


def test_description_names_rule_and_version():
    text = get("dsol-synthetic").describe()
    assert "dsol-synthetic (version 3)" in text
    assert "0.5 x the map's own maximum" in text
    assert "silent up to 0.2" in text and "majority" not in text
    assert "clusters named by majority" in get("ier").describe()
    assert "silent below 0.2" in get("ier").describe()
    levels = get("c2f-levels").describe()
    assert "success at 0.5, at 0.3 for level 3" in levels and "silent" not in levels
    assert "two annotators' votes" in get("c2f-flickr").describe()
    assert "a source is an item" in get("source-wise").describe()
    assert "50 % of the map's area lies below" in get("lvs-median").describe()
    assert all("\n" not in p.describe() for p in PROTOCOLS.values())


def test_descriptions_that_stored_scores_are_compared_by():
    """Runs scored under the same words stand in one table, so words change with versions only."""
    assert get("paper").describe() == (
        "paper (version 2): bilinear to 224x224, cut at 10 % of the largest value over all maps, "
        "silent below 10 % of the largest value over all maps, success at 0.3"
    )
