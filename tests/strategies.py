"""Networks at random, for property tests: as specs, so that the whole pipeline is tried."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from fractions import Fraction

RATIOS = [
    Fraction(1, 4),
    Fraction(1, 3),
    Fraction(1, 2),
    Fraction(1),
    Fraction(2),
    Fraction(3),
    Fraction(4),
]


@dataclass(frozen=True)
class AnyNet:
    """An AnyNet: a stage is (w, d, stride, b, g)."""

    block: str
    activation: str
    stem: tuple[str, int]
    stages: list[tuple[int, int, int, Fraction, int]]
    se: Fraction
    head: int
    image: int
    channels: int
    classes: int
    unusual: dict[str, object] = field(default_factory=dict)

    def spec(self, name: str = "Net") -> str:
        """The network in the language."""

        def column(k: int) -> str:
            return "[" + ", ".join(str(s[k]) for s in self.stages) + "]"

        lines = {
            "block": self.block, "activation": self.activation, "stem_type": self.stem[0],
            "stem": self.stem[1], "stages": len(self.stages), "w[i]": column(0), "d[i]": column(1),
            "stride[i]": column(2), "b[i]": column(3), "g[i]": column(4), "head": self.head,
            "image": self.image, "channels": self.channels, "classes": self.classes,
        }  # fmt: skip
        if self.se:
            lines["se"] = self.se
        lines |= self.unusual
        body = "".join(f"  {k} = {v}\n" for k, v in lines.items())
        return f'use "families.regnet"\n\nmodel {name} extends AnyNet {{\n{body}}}\n'


def any_net(r: random.Random) -> AnyNet:
    """1 to 8 small stages, every block, stem and activation, b from 1/4 to 4, with and without SE."""
    block = r.choice("XYZ")
    se = Fraction(0)
    if block == "Y" or (block == "Z" and r.random() < 0.5):
        se = r.choice([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(1, 8)])
    stages = []
    for _ in range(r.randint(1, 8)):
        b = r.choice(RATIOS)
        g = r.choice([1, 2, 3, 4, 8, 16])
        inner = g * r.randint(1, 4) * b.denominator
        w = int(inner * b)
        stages.append((w, r.randint(1, 3), r.choice([1, 2, 2, 3]), b, g))
    stem = (r.choice(["simple", "resnet", "cifar"]), r.choice([4, 8, 16, 24]))
    if se:
        se = max(se, Fraction(1, min(stem[1], *(w for w, *_ in stages))))
    return AnyNet(
        block, r.choice(["relu", "silu", "gelu"]), stem, stages, se, r.choice([0, 0, 32]),
        r.choice([7, 16, 33, 64]), r.choice([1, 3]), r.choice([1, 10, 37]),
    )  # fmt: skip


def unusual_net(r: random.Random) -> AnyNet:
    """As `any_net`, with parts that few networks have: any of them, in any company."""
    net = any_net(r)
    own: dict[str, object] = {
        "order": r.choice(["post", "pre"]) if net.block != "Z" else "post",
        "shortcut": r.choice(["conv", "avg", "none"]), "tail": r.choice(["plain", "activation"]),
        "pool": r.choice(["avg", "max", "avgmax", "catavgmax"]),

        "drop_path": r.choice([0, "0.2"]), "checkpointing": r.choice([0, 1]),
        "frozen": r.choice([0, len(net.stages)]),
    }  # fmt: skip
    if net.se:
        own["se_of"], own["se_by"] = r.choice([("in", 1), ("in", 8), ("inner", 8)])
        own["se_activation"] = r.choice(["relu", "silu", "gelu"])
    stem, w_stem, stages = net.stem[0], net.stem[1], net.stages
    if r.random() < 0.3:
        stem, w_stem = "tiered", 16
    if r.random() < 0.4:  # every width a multiple of every group and of 1/b
        stages = [
            (48 * r.randint(1, 2), d, s, r.choice([Fraction(1, 2), Fraction(1)]), 8)
            for _, d, s, _, _ in stages
        ]
        w_stem = 48
        own |= {"norm": "group", "norm_g": r.choice([2, 6]), "b_of": r.choice(["in", "out"])}
    if r.random() < 0.3:  # dilated from some stage on
        reached = {"simple": 2, "resnet": 4, "cifar": 1, "tiered": 4}[stem]
        few = r.randint(0, len(stages))
        for _, _, stride, _, _ in stages[:few]:
            reached *= stride
        if reached <= 64:
            own["output_stride"] = reached
            stages = [(w, d, s if k < few else 2, b, g) for k, (w, d, s, b, g) in enumerate(stages)]
    return replace(
        net, stem=(stem, w_stem), stages=stages, classes=r.choice([0, net.classes]),
        head=48 if net.head else 0, unusual=own,
    )  # fmt: skip


def reg_net(r: random.Random) -> tuple[int, int, float, float, int, Fraction]:
    """A point (d, w0, wa, wm, g, b), over a box wider than the paper's."""
    return (
        r.randint(1, 64),
        8 * r.randint(1, 40),
        round(r.uniform(0, 300), r.choice([0, 1, 2])),
        round(r.uniform(1.05, 4), r.choice([1, 2, 3])),
        r.choice([1, 2, 4, 8, 12, 16, 24, 40, 48, 56, 112, 232]),
        r.choice(RATIOS),
    )
