from pathlib import Path


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
