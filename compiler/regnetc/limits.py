"""How much of anything a spec may hold. One table, so that hostile input meets a number, not a hang."""

SPEC_BYTES = 64 * 1024
ALL_SPECS_BYTES = 1024 * 1024
SPEC_FILES = 64
USE_DEPTH = 16
NESTING = 64
EXPRESSION_TOKENS = 1_000
LINE_CHARACTERS = 1_000
NUMBER_DIGITS = 40
NUMBER_EXPONENT = 30
BOUND_WORK = 400_000  # characters of bounds, each as often as it is worked out, in one check
VALUE_BITS = 512  # of a numerator or denominator while an expression is worked out
NAME_CHARACTERS = 100
DECLARATIONS = 1_000
MODELS = 64  # in one file
PARENTS = 32  # in a chain, and of one declaration
ANCESTORS = 256
BODY_LINES = 200
INHERITED_LINES = 2_000
CONFLICTS = 20  # said of one declaration
LITERAL_CHARACTERS = 64

STAGES = 8
GRID_POINTS = 65_536  # that one draw chooses from
STAGE_DEPTH = 256
DILATION = 64
TOTAL_DEPTH = 1_024
WIDTH = 65_536
CLASSES = 1_000_000
IMAGE = 8_192
PUBLISHED_ROWS = 32

DIAGNOSTICS_SHOWN = 20
DIAGNOSTICS_BYTES = 60 * 1024
IR_BYTES = 1024 * 1024
GENERATED_BYTES = 2 * 1024 * 1024
