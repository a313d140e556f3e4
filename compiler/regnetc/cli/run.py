"""`regnetc run`: verify a generated module, then count, time, evaluate or train it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..diagnostics import printable
from . import console, opening, preprocessing


@click.command("run")
@click.argument("target", metavar="FILE.py|SPEC[:NAME]|NAME")
@click.option(
    "--eval",
    "evaluating",
    is_flag=True,
    help="Count it, hold that against every declared and published number, time it; with --data and --weights, or after --train, evaluate it on the test part.",
)
@click.option(
    "--train", "training", is_flag=True, help="Train it by a recipe, in a folder of its own."
)
@click.option(
    "--data",
    metavar="DATA",
    help="digits, synthetic, a folder of images or shards, CIFAR, a URL of shards.",
)
@click.option(
    "--weights",
    help="Weights in anybody's names, the folder of a run, or whose published ones to fetch; to train, where to begin.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run that --train makes [runs/STEM-N]; of the report that --eval writes [none].",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE[:NAME]",
    help="How to train: a shipped recipe (paper100, ...), or one of yours [that of digits, CIFAR or synthetic data].",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a line of the recipe, such as epochs=2 or optimizer.lr=0.05; as often as needed.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in --out, or with the last unfinished one of this file; begin it if there is none.",
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0, 2**53),
    multiple=True,
    help="Seed of weights and training; several make several runs, one after the other [0].",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bf16", "fp16"]),
    default="float32",
    show_default=True,
    help="Autocast to this type.",
)
@click.option("--channels-last", is_flag=True, help="Keep channels innermost in memory.")
@click.option("--compile", "compiled", is_flag=True, help="Train through torch.compile.")
@click.option("--deterministic", is_flag=True, help="Ask a GPU for the same bits each time, too.")
@click.option(
    "--parallel",
    type=click.Choice(["ddp", "fsdp"]),
    default="ddp",
    show_default=True,
    help="How the processes of torchrun share a network: copies of it, or parts.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Threads that compute on a CPU [what torch takes; 1 to train].",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65_536),
    default=1,
    show_default=True,
    help="Images at a time, for timing.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=2,
    show_default=True,
    help="Processes that decode images.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="MINUTES",
    help="Save the state of a training also within an epoch.",
)
@click.option(
    "--keep",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="Saved states that stay.",
)
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard, too.")
@click.option(
    "--skip-bad",
    is_flag=True,
    help="Evaluate without images that cannot be read instead of stopping at the first.",
)
@click.option(
    "--corruptions", is_flag=True, help="Evaluate on 12 common corruptions at 5 severities, too."
)
@click.option(
    "--trust",
    metavar="DIGEST",
    help="Run a changed file that has this SHA-256 (16 digits or more).",
)
@preprocessing.options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(target: str, evaluating: bool, training: bool, **given: Any) -> None:
    """Verify a generated module before a line of it runs, then count, time, evaluate or train it.

    \b
    regnetc run generated/x400mf.py --eval
    regnetc run generated/digits.py --train --eval --data digits
    regnetc run generated/digits.py --train --data digits --set epochs=2 --seed 0 --seed 1
    regnetc run generated/digits.py --train --resume -o runs/digits-1
    regnetc run generated/digits.py --eval --data digits --weights runs/digits-1
    torchrun --nproc-per-node 8 -m regnetc run generated/x400mf.py --train --data imagenet --recipe paper100
    """
    if not (evaluating or training):
        raise click.UsageError("say --eval, --train or both")
    _refuse_idle(training=training)
    opened = opening.open_network(target, given["trust"])
    generated = opened.generated
    if generated.trusted:
        console.say_warning(
            f"`{printable(target)}` was changed since regnetc wrote it and runs by --trust"
        )
    if given["weights"] is not None:
        given["weights"], given["published"] = opening.located(given["weights"], opened)
    if training:
        from . import training as verb

        sys.exit(verb.train(generated, given, evaluating=evaluating))
    else:
        from . import evaluating as other

        sys.exit(other.evaluate(generated, given))


_OF_TRAINING = (
    "recipe", "overrides", "resume", "compiled", "deterministic", "parallel", "save_every", "keep", "tensorboard",
)  # fmt: skip
_OF_EVALUATION = {
    "batch": "it is for timing; a training takes its batches from the recipe: --set batch=32",
    "resize": "the recipe says how test images are prepared: --set test_resize=...",
    "crop": "the recipe says how images are cropped: --set crop=..., --set test_crop=...",
    "corruptions": "evaluate the run afterwards: --eval --corruptions --weights RUN",
    "skip_bad": "a training names bad images and goes on without them anyway",
    "channel_order": "a network that is trained here takes RGB",
    "mean": "a network that is trained here takes the mean of its data",
    "std": "a network that is trained here takes the deviation of its data",
}


def _refuse_idle(*, training: bool) -> None:
    """Refuse options that would be listened to by nobody."""
    context = click.get_current_context()
    names = {str(p.name): p.opts[-1] for p in context.command.params}
    said = [k for k in names if context.get_parameter_source(k) is ParameterSource.COMMANDLINE]
    for name in said:
        if training and name in _OF_EVALUATION:
            raise click.UsageError(
                f"{names[name]} does nothing with --train: {_OF_EVALUATION[name]}"
            )
        if not training and name in _OF_TRAINING:
            raise click.UsageError(f"{names[name]} goes with --train")
