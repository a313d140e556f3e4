"""How much of anything foreign is read. One table, so that hostile input meets a number, not a hang."""

MIB = 1024 * 1024

MESSAGE_CHARACTERS = 200  # of one piece of foreign text inside a message
NAMES_SHOWN = 8  # of a list inside a message, then "and N more"

CHECKPOINT_BYTES = 4096 * MIB
FETCHED_BYTES = 65_536 * MIB  # of one file of weights from afar
CHECKPOINT_ENTRIES = 10_000
CHECKPOINT_HEADER_BYTES = 4 * MIB
CHECKPOINT_PICKLE_BYTES = 4 * MIB
CHECKPOINT_OPERATIONS = 1_000_000  # of a pickle; a tensor takes some thirty
CHECKPOINT_NAME_CHARACTERS = 200
CHECKPOINT_DIMENSIONS = 8

IMAGE_BYTES = 64 * MIB
IMAGE_PIXELS = 64 * MIB  # before and after resizing
IMAGE_SIDE = 8_192  # of what enters a network
DATA_CLASSES = 1_000_000
DATA_FILES = 100_000_000

BATCH = 65_536
EPOCHS = 100_000
TIMED_RUNS = 10_000

RUN_CHECKPOINT_BYTES = 1024 * 1024 * MIB  # of a training's whole state, which regnetc wrote itself
RUN_MANIFEST_BYTES = 64 * MIB
RUN_LOG_BYTES = 1024 * MIB

BAD_IMAGES = 10  # that are bearable however small the share is that may be bad
REPLACEMENTS = 1_000  # images that are tried in place of one that cannot be read
WORKERS = 1_024
WORKER_RESTARTS = 3
SYNTHETIC_IMAGES = 10_000_000
CIFAR_BYTES = 256 * MIB  # of one of its files
CLASS_NAMES_BYTES = 16 * MIB

SHARDS = 1_000_000
SHARD_BYTES = 65_536 * MIB
SHARD_MEMBERS = 10_000_000
SHARD_NAME_BYTES = 1_024
SHARD_LABEL_BYTES = 65_536
SHARD_LIST_BYTES = 64 * MIB
SHARD_CACHE_BYTES = 262_144 * MIB
