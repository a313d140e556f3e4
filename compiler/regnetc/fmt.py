def format_text(t: str) -> str:
    return t
