"""Which word was meant: by its spelling, or by what other code bases call the thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..vocabulary import nearest_word

_FIELDS = {
    "dataset": "data", "max_epoch": "epochs", "max_epochs": "epochs", "num_epochs": "epochs",
    "batch_size": "batch", "lr": "optimizer = sgd(lr = ...)", "base_lr": "optimizer = sgd(lr = ...)",
    "learning_rate": "optimizer = sgd(lr = ...)", "momentum": "optimizer = sgd(lr = ..., momentum = ...)",
    "weight_decay": "optimizer = sgd(lr = ..., decay = ...)", "wd": "optimizer = sgd(lr = ..., decay = ...)",
    "opt": "optimizer", "warmup": "schedule = cosine(warmup = ...)", "scheduler": "schedule",
    "lr_scheduler": "schedule", "lr_policy": "schedule", "image": "crop", "image_size": "crop",
    "im_size": "crop", "input_size": "crop", "train_crop_size": "crop", "val_resize_size": "test_resize",
    "val_crop_size": "test_crop", "hflip": "flip", "color_jitter": "jitter", "random_erase": "erase",
    "reprob": "erase", "smoothing": "label_smoothing", "mixup_alpha": "mixup", "cutmix_alpha": "cutmix",
    "auto_augment": "augment", "model_ema": "ema", "clip_grad_norm": "clip", "clip_grad": "clip",
    "ra_reps": "repeats", "val_split": "validation", "sync_bn": "norm_batch",
}  # fmt: skip

_ARGUMENTS = {
    "base_lr": "lr", "learning_rate": "lr", "weight_decay": "decay", "wd": "decay", "betas": "beta1",
    "norm_weight_decay": "norm_decay", "epsilon": "eps", "warmup_epochs": "warmup", "warmup_factor": "start",
    "warmup_ratio": "start", "start_factor": "start", "min_lr": "floor", "eta_min": "floor", "gamma": "factor",
    "milestones": "at", "steps": "at", "lr_mult": "factor", "base": "per",
}  # fmt: skip


def nearest_field(name: str, known: Iterable[str]) -> str | None:
    """The field that an unknown one most likely is."""
    return _FIELDS.get(name.lower()) or nearest_word(name, known)


def nearest_argument(name: str, known: Sequence[str]) -> str | None:
    """The argument that an unknown one most likely is."""
    meant = _ARGUMENTS.get(name.lower(), "")
    return meant if meant in known else nearest_word(name, known)


def ticked(names: Iterable[str]) -> str:
    """Names in a row, each between ticks."""
    return ", ".join(f"`{name}`" for name in names)


def there(names: Sequence[str]) -> str:
    """What there is to choose from."""
    return f"there {'is' if len(names) == 1 else 'are'} {ticked(names)}"
