"""What a recipe may say: its fields, the functions they call, their arguments, ranges and defaults.

One table. The runtime's `Recipe` has the same fields with the same defaults and bounds, and
`recipe.schema.json` says it once more for programs; tests hold all three equal.
"""

from __future__ import annotations

from fractions import Fraction

from .forms import Calls, Entry, Function, Number, Numbers, Words

LIST = 64  # values of a list at most
SHARE = Number(0, 1)
SIDE = Number(1, 8_192, whole=True)
EPOCHS = 100_000
BATCH = 65_536

_DECAY = Number(0, 10)
_BETA = Number(0, 1, below=True)
_DECAYS = (
    Entry("decay", "weight decay", _DECAY, 0.0),
    Entry("norm_decay", "weight decay of what belongs to norms", _DECAY, like="decay"),
    Entry("bias_decay", "weight decay of the other biases", _DECAY, like="decay"),
)
_RATE = Entry(
    "lr", "learning rate, before the batch rule and the schedule", Number(0, 1_000, above=True)
)


def _adam(eps: float) -> tuple[Entry, ...]:
    return (
        _RATE,
        Entry("beta1", "decay of the average of gradients", _BETA, 0.9),
        Entry("beta2", "decay of the average of their squares", _BETA, 0.999),
        Entry("eps", "what is added to the root of the squares", Number(0, 1, above=True), eps),
        *_DECAYS,
    )


OPTIMIZERS = Calls(
    (
        Function(
            "sgd",
            "stochastic gradient descent with momentum",
            (
                _RATE,
                Entry("momentum", "share of the last step that is kept", _BETA, 0.9),
                Entry(
                    "nesterov", "whether the step looks ahead: 1, or 0", Number(0, 1, whole=True), 1
                ),
                *_DECAYS,
            ),
        ),
        Function("adamw", "Adam with decoupled weight decay", _adam(1e-8)),
        Function("lamb", "Adam with a step in proportion to the weights", _adam(1e-6)),
    )
)

_PER = (Entry("per", "images that `lr` is meant for", Number(1, BATCH, whole=True)),)
BATCH_RULES = Calls(
    (
        Function("linear", "lr x batch / per", _PER),
        Function("sqrt", "lr x the root of batch / per", _PER),
    )
)

_WARMUP = (
    Entry("warmup", "epochs in which the rate rises on a line", Number(0, EPOCHS), 0.0),
    Entry("start", "share of the rate that the warm-up begins with", SHARE, 0.0),
)
_BY = Entry("by", "how often the rate changes", Words(("step", "epoch")), "step")
_CURVE = (
    *_WARMUP,
    Entry("floor", "share of the rate that is left at the end", SHARE, 0.0),
    Entry(
        "begins", "where the curve begins: when the warm-up ends, or at the start, times the warm-up",
        Words(("warmup", "start")), "warmup",
    ),
    _BY,
)  # fmt: skip
_FACTOR = Number(0, 1, above=True)
_AT = Numbers(Number(0, EPOCHS, above=True), 1, LIST, increasing=True)
SCHEDULES = Calls(
    (
        Function("cosine", "down half a cosine", _CURVE),
        Function("linear", "down a line", _CURVE),
        Function(
            "step",
            "down by a factor at some epochs",
            (
                Entry("at", "epochs after which the rate falls", _AT),
                Entry("factor", "what it is multiplied by", _FACTOR, 0.1),
                *_WARMUP,
                _BY,
            ),
        ),
        Function(
            "exponential",
            "down by a factor again and again",
            (
                Entry("factor", "what the rate is multiplied by", _FACTOR),
                Entry("every", "epochs between", Number(0, EPOCHS, above=True), 1.0),
                *_WARMUP,
                _BY,
            ),
        ),
        Function("constant", "the same throughout", (*_WARMUP, _BY)),
    )
)

_BINS = Entry("bins", "levels of strength", Number(2, 1_000, whole=True), 31)
AUGMENTS = Calls(
    (
        Function(
            "randaugment",
            "operations drawn at random, of one strength",
            (
                Entry("n", "operations for each image", Number(1, 16, whole=True), 2),
                Entry("m", "strength, counted in bins from 0", Number(0, 999, whole=True), 9),
                _BINS,
            ),
        ),
        Function("trivialaugment", "one operation of a strength drawn at random", (_BINS,)),
    )
)

AVERAGES = Calls(
    (
        Function(
            "average",
            "exponential moving average of the weights",
            (
                Entry("decay", "share of the average that stays at an update", _BETA),
                Entry("every", "steps between updates", Number(1, 1_000_000, whole=True), 1),
            ),
        ),
    )
)
DATA = Words(("imagenet", "cifar10", "cifar100", "digits", "synthetic"))

_JITTER = Numbers(SHARE, 3, 3)
_SCALE = Numbers(Number(0, 1, above=True), 2, 2, increasing=True)
_RATIO = Numbers(Number(0, 100, above=True), 2, 2, increasing=True)
_CROP = Numbers(SIDE, 1, LIST, single=True)
_CHUNK = Number(2, BATCH, whole=True)

_ALL = (
    Entry("data", "kind of data that it was made for", DATA),
    Entry("epochs", "how often the training images are gone through", Number(1, EPOCHS, whole=True)),
    Entry("batch", "images that a step takes", _CHUNK),
    Entry("optimizer", "what moves the weights", OPTIMIZERS),
    Entry("schedule", "how the learning rate changes", SCHEDULES),
    Entry("norm_batch", "images that batch norm sees at once", _CHUNK, None, none="the whole batch"),
    Entry("batch_rule", "how the learning rate follows the batch", BATCH_RULES, None, none="not at all"),
    Entry("validation", "share of the training images that is kept back", Number(0, Fraction(1, 2)), 0.01),
    Entry("split_seed", "what chooses the images that are kept back", Number(0, 2**53, whole=True), 0),
    Entry("repeats", "how often an image comes in an epoch", Number(1, 64, whole=True), 1),
    Entry("crop", "side of a training image, or several in turn", _CROP, None, none="what the network was made for"),
    Entry("test_resize", "short side that test images are resized to", SIDE, None, none="what suits the crop"),
    Entry("test_crop", "side of the middle that is cropped of them", SIDE, None, none="the last crop of the training"),
    Entry("scale", "share of the area that a random crop takes", _SCALE, None, none="the crop of a test"),
    Entry("ratio", "width over height of a random crop", _RATIO, (3 / 4, 4 / 3)),
    Entry("pad", "black pixels around an image, before a crop of it is drawn", Number(0, 8_192, whole=True), 0),
    Entry("flip", "probability of a left-right flip", SHARE, 0.0),
    Entry("augment", "operations drawn at random", AUGMENTS, None, none="no such operations"),
    Entry("jitter", "most that brightness, contrast and saturation change by", _JITTER, (0.0, 0.0, 0.0)),
    Entry("lighting", "deviation of the noise along the principal colours", Number(0, 10), 0.0),
    Entry("shift", "most pixels that an image moves by", Number(0, 8_192), 0.0),
    Entry("turn", "most degrees that it turns by", Number(0, 180), 0.0),
    Entry("zoom", "most that it grows or shrinks by", Number(0, Fraction(9, 10)), 0.0),
    Entry("erase", "probability that a rectangle is erased", SHARE, 0.0),
    Entry("label_smoothing", "share of a label that goes to all classes", Number(0, Fraction(99, 100)), 0.0),
    Entry("mixup", "alpha of mixup, 0 for no mixup", Number(0, 100), 0.0),
    Entry("cutmix", "alpha of cutmix, 0 for no cutmix", Number(0, 100), 0.0),
    Entry("mix", "share of the chunks that are mixed at all", SHARE, 1.0),
    Entry("ema", "average of the weights over the steps", AVERAGES, None, none="no average"),
    Entry("clip", "most that the norm of the gradient may be, 0 for no bound", Number(0, 1_000_000), 0.0),
    Entry("drop_path", "probability that the last block is skipped", Number(0, Fraction(99, 100)), 0.0),
    Entry(
        "precise_bn", "training images that batch norm's statistics are computed from, 0 for the running ones",
        Number(0, 10_000_000, whole=True), 0,
    ),
)  # fmt: skip

FIELDS = {entry.name: entry for entry in _ALL}
