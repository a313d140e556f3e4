"""How much of anything foreign is read. One table, so that hostile input meets a number, not a hang."""

MIB = 1024 * 1024

MESSAGE_CHARACTERS = 200  # of one piece of foreign text inside a message
NAMES_SHOWN = 8  # of a list inside a message, then "and N more"

CHECKPOINT_BYTES = 4096 * MIB
CHECKPOINT_ENTRIES = 10_000
CHECKPOINT_HEADER_BYTES = 4 * MIB
CHECKPOINT_PICKLE_BYTES = 4 * MIB
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
