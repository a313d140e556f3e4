"""What is refused of other code bases' names: numbers that are none, networks that they do not build."""

from __future__ import annotations

import pytest
from regnetc import lift, zoo
from regnetc_runtime import dialects
from regnetc_runtime.problems import Problem


@pytest.mark.parametrize(
    "name",
    [
        "trunk_output.block1.block2-0.f.a.0.weight",  # two stages at once
        "trunk_output.block01.block01-0.f.a.0.weight",
        "trunk_output.block0.block0-0.f.a.0.weight",
        "trunk_output.block١.block١-0.f.a.0.weight",  # a digit, but not ASCII
        "_feature_blocks.res5.block1-0.f.a.0.weight",  # the stage after the next
        "s1.b0.conv1.conv.weight",
    ],
)
def test_numbers_of_blocks_are_read_strictly(name: str) -> None:
    assert all(d.ours(name) is None for d in dialects.DIALECTS)


@pytest.mark.parametrize(
    ("network", "to", "why"),
    [
        ("timm_y040_sgn", "transformers", "group norm"),
        ("timm_y040_sgn", "vissl", "group norm"),
        ("timm_z040", "torchvision", "drops its shortcut"),
        ("timm_z040", "transformers", "drops its shortcut"),
        ("timm_zb16", "classyvision", "another width inside than the rest"),
    ],
)
def test_names_are_not_given_to_what_a_code_base_does_not_build(
    network: str, to: str, why: str
) -> None:
    shapes = lift.shapes_of(zoo.find(network).network)
    with pytest.raises(Problem) as e:
        dialects.renamed(shapes, to)
    assert e.value.name == "cannot-hold"
    assert why in e.value.details[0]


def test_evonorm_is_not_taken_for_group_norm() -> None:
    """timm's regnetz_b16_evos: names of regnetz_b16 without statistics, and a `v` for each norm."""
    shapes = lift.shapes_of(zoo.find("timm_zb16").network)
    names = [
        n
        for n in dialects.renamed(shapes, "timm").values()
        if "running" not in n and "tracked" not in n
    ]
    names += [n.replace(".weight", ".v") for n in names if n.endswith("bn.weight")]
    with pytest.raises(Problem, match="EvoNorm") as e:
        dialects.recognise(names)
    assert e.value.name == "unknown-dialect"
