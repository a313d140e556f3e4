#!/usr/bin/env python3
"""Write the hostile specs (*.txt), MANIFEST.tsv and the table in README.md.

    make_attacks.py --out DIR [--dialect lines|semicolons] [--links DIR]

A grammar moves, so an attack is written once, as data, and printed in a dialect: `lines` (the
language as it is: short names, one statement to a line) or `semicolons` (long names, `;` after a
statement).  Everything is deterministic; running it twice
gives the same bytes.  No attack does harm: a payload that gets executed creates an empty file
called REGNETC_CANARY in the working directory, and probe.py looks for that file.

Every attack is an ordinary, valid spec but for the one thing it attacks, so that it gets as deep
into the compiler as it can.
"""
import argparse
import os
import pathlib

CANARY = "REGNETC_CANARY"
PAY = f"open('{CANARY}','w')"  # the payload, as a Python expression

LONG = {"d": "depth", "g": "group_width", "b": "bottleneck", "se": "se_ratio"}
MODEL = [("d", "22"), ("w0", "24"), ("wa", "24.48"), ("wm", "2.54"), ("g", "16"), ("b", "1")]


class Dialect:
    def __init__(self, name):
        self.end = "\n" if name == "lines" else ";\n"
        self.long = name != "lines"

    def line(self, key, value):
        key = LONG.get(key, key) if self.long else key
        return f"  {key} = {value}{self.end}"

    def use(self, path):
        return f'use "{path}"{self.end}'

    def decl(self, kind, title, parent, body, doc=""):
        doc = "".join(f"# {l}\n" for l in doc.split("\n")) if doc else ""
        ext = f" extends {parent}" if parent else ""
        lines = "".join(x if isinstance(x, str) else self.line(*x) for x in body)
        return f"{doc}{kind} {title}{ext} {{\n{lines}}}\n"

    def raw(self, text):
        """One statement given as text."""
        return f"  {text}{self.end}"


ATTACKS = []  # (name, group, expect, what, why, bytes-maker)


def attack(name, group, expect, what, why):
    def wrap(f):
        ATTACKS.append((name, group, expect, what, why, f))
        return f
    return wrap


def with_(changes=(), title="RegNetX-400MF", doc="The 400MF model.", parent="RegNetX", extra=(), head=True):
    """A valid model, with some values replaced, as a function of the dialect."""
    def make(D):
        values = dict(MODEL) | dict(changes)
        body = [(k, v) for k, v in values.items() if v is not None] + [
            e if isinstance(e, tuple) else D.raw(e) for e in extra]
        return (D.use("families.regnet") + "\n" if head else "") + D.decl("model", title, parent, body, doc)
    return make


def add(name, group, expect, what, why, make):
    ATTACKS.append((name, group, expect, what, why, make))


# ---- A  text of the spec that reaches generated code, reports or terminals -------------------------
A = "injection"
add("a01_doc_triple_quote", A, "safe", "doc comment closes the docstring, then Python", "docstring of the generated file",
    with_(doc=f'Fine.\n""" ; {PAY} ; """'))
add("a02_doc_trailing_backslash", A, "safe", "doc comment ends in a backslash", "eats the closing quote",
    with_(doc=f"Ends in a backslash \\"))
add("a03_doc_trailing_quote", A, "safe", 'doc comment ends in a double quote', 'four quotes in a row: syntax error in the output',
    with_(doc='He called it "small"'))
add("a04_doc_bad_escapes", A, "safe", "\\N{, \\x, \\u, \\777 in a doc comment", "unicodeescape error when the output is read",
    with_(doc="A \\N{NOSUCHNAME} \\x \\u12 \\U0011FFFF \\777 \\N{"))
add("a05_doc_escaped_quotes", A, "safe", "quotes written as \\u0022 and \\42", "an emitter that un-escapes first",
    with_(doc=f"\\u0022\\u0022\\u0022;{PAY}#\n\\42\\42\\42;{PAY}#"))
add("a06_doc_lone_cr", A, "reject", "a lone CR inside a comment, then Python", "one line for us, a new line for Python's tokenizer",
    with_(doc=f"harmless\r{PAY}\r# rest"))
add("a07_doc_coding_cookie", A, "safe", "doc comment is a PEP 263 cookie; payload in UTF-7", "only dangerous in lines 1 and 2 of the output",
    with_(doc=f"coding=utf_7\n+ACIAIgAi-;{PAY}+ADs-+ACIAIgAi-"))
add("a08_doc_jinja", A, "safe", "Jinja expression, statement, comment and raw block in a doc comment", "text rendered twice, or a template built from text",
    with_(doc="{{ 7*7 }} {% raw %} {# x #} {{ cycler.__init__.__globals__.__builtins__['" + "open'](" + f"'{CANARY}','w') }}}} {{% endraw %}}"))
add("a09_doc_formats", A, "safe", "%s, {0.__class__}, ${x}, f-string braces in a doc comment", "str.format, %, string.Template, f-strings",
    with_(doc="%s %(x)s %n {0.__class__.__mro__} {name!r:{width}} ${HOME} $x {{}} {"))
add("a10_string_escapes", A, "safe", "published source with quotes, backslash, newline escapes", "string literal in output, JSON, HTML",
    with_(extra=("published { source = \"a' + str(" + PAY.replace('"', "'") + ") + '\\\\\" }",)))
add("a11_name_is_expression", A, "reject", "a declaration named like a call", "name pasted into `class NAME`",
    with_(title=f"X(object):{PAY}#"))
add("a12_name_keyword", A, "either", "declarations named None, class, match, lambda", "Python keywords as class and file names",
    lambda D: D.use("families.regnet") + "".join(D.decl("model", n, "RegNetX", MODEL) for n in ("None", "class", "match", "type", "async", "lambda")))
add("a13_name_of_helper", A, "safe", "models named Block, Stage, Head, Tensor, nn, model, initialize", "class shadows what the template defines or imports",
    lambda D: D.use("families.regnet") + "".join(D.decl("model", n, "RegNetX", MODEL) for n in ("Block", "Bottleneck", "Stage", "Stem", "Head", "Tensor", "nn", "model", "initialize", "super", "int", "list")))
add("a14_names_collide", A, "reject", "names that differ only in - . _ or case", "same class, same file: one overwrites the other",
    lambda D: D.use("families.regnet") + "".join(D.decl("model", n, "RegNetX", MODEL) for n in ("RegNetX-400MF", "RegNetX400MF", "RegNetX.400MF", "regnetx-400mf")))
add("a15_name_shadows_module", A, "safe", "models named torch, types, random, json", "generated/torch.py is imported instead of torch",
    lambda D: D.use("families.regnet") + "".join(D.decl("model", n, "RegNetX", MODEL) for n in ("torch", "types", "random", "json", "typing", "sitecustomize")))
add("a16_name_device_file", A, "either", "names CON, nul.py, aux-1", "reserved file names on Windows",
    lambda D: D.use("families.regnet") + "".join(D.decl("model", n, "RegNetX", MODEL) for n in ("CON", "nul.py", "aux-1", "COM1", "LPT9.regnet")))
add("a17_name_5000_chars", A, "either", "a name of 5,000 letters", "file name limit (255 bytes), header width, tables",
    with_(title="R" + "e" * 4998 + "g"))
add("a18_name_path", A, "reject", "a name with ../ and /", "output path leaves the output directory",
    with_(title=f"../../{CANARY}"))
add("a19_call_builtins", A, "reject", "eval, exec, getattr, pow as functions of the language", "function table looked up in builtins, sympy or numpy",
    lambda D: D.use("families.regnet") + D.decl("model", "E", "RegNetX", [("d", f'eval("{PAY}")'), ("w0", f'exec("{PAY}")'), ("wa", 'getattr(d, "__class__")'), ("wm", "pow(10, 1000000000)"), ("g", "vars"), ("b", "1")]))
add("a20_attribute_access", A, "reject", "dunder attributes and subscripts on values", "expression evaluated by Python",
    with_({"d": "w.__class__.__mro__[1].__subclasses__()", "g": 'w["__class__"]'}))
add("a21_word_values", A, "reject", "words where an enumerated word is meant: block = eval, rounding = builtins, stem = system", "word pasted into code or used as a dictionary path",
    with_(extra=(("block", "eval"), ("rounding", "builtins"), ("stem", "system"))))
add("a22_html_and_script", A, "safe", "tags, attributes, </script> and a javascript: link in doc and source", "HTML report, embedded JSON, SVG titles",
    with_(doc="<img src=x onerror=alert(1)> </script><script>alert(1)</script> <svg/onload=alert(1)>\n[x](javascript:alert(1)) -->",
          extra=("published { source = \"</script><script>alert(document.domain)</script>\" }",)))
add("a23_terminal_escapes", A, "either", "ESC sequences in a comment and a string, beside a deliberate error", "diagnostics print the source line to a terminal",
    with_(doc="\x1b]0;owned\x07\x1b[2K\x1b[1A\x1b[31mred\x1b]8;;http://example.invalid\x1b\\link\x1b]8;;\x1b\\ \x9b31m", extra=("published { source = \"\x1b[2J\x1b]0;owned\x07\" }", ("nosuch", "1"))))
add("a26_dunder_names", A, "reject", "__init__, __class__, __import__ as names and functions", "dunders as class names, file names, attributes",
    lambda D: D.use("families.regnet") + D.decl("model", "__init__", "RegNetX", MODEL) + D.decl("model", "M", "RegNetX", [("d", '__import__("os")')]))
add("a27_escape_in_name", A, "reject", "an ESC sequence inside a name", "the message quotes the name raw", with_(title="X\x1b[8mY"))
add("a24_formula", A, "safe", "source strings that start with = + - @", "CSV export opened in a spreadsheet",
    with_(extra=("published { source = \"=1+cmd|' /C x'!A0\" }",)))
add("a25_sql", A, "safe", "quotes and SQL in a source string and a long dashed name", "string-built SQL in the results store",
    with_(title="x-drop-table-runs", extra=("published { source = \"x'); DROP TABLE runs; --\" }",)))

# ---- B  bytes and characters ---------------------------------------------------------------------------
B = "encoding"
plain = with_()
add("b01_bom_utf8", B, "either", "UTF-8 byte order mark", "accept and drop, or a clean error; never a NAME",
    lambda D: b"\xef\xbb\xbf" + plain(D).encode())
add("b02_utf16", B, "reject", "the whole file in UTF-16 with BOM", "decoded as Latin-1 by accident",
    lambda D: plain(D).encode("utf-16"))
add("b03_bad_utf8", B, "reject", "bytes ff, c0 80 (overlong NUL), ed a0 80 (surrogate), f5", "UnicodeDecodeError as a traceback; surrogateescape reaching the output",
    lambda D: with_(doc="MARK")(D).encode().replace(b"MARK", b"\xff \xc0\x80 \xed\xa0\x80 \xf5\x80\x80\x80 \xe2\x82"))
add("b04_nul_in_body", B, "reject", "NUL between tokens", "C strings, truncated diagnostics",
    with_({"d": "2\0" + "2"}))
add("b05_nul_in_comment", B, "reject", "NUL in a doc comment", "Python source cannot contain NUL: output unreadable",
    with_(doc="before\0after"))
add("b06_crlf", B, "accept", "CR LF line ends throughout", "must be accepted and give the same output bytes as LF",
    lambda D: plain(D).replace("\n", "\r\n"))
add("b07_cr_only", B, "reject", "CR line ends only (classic Mac)", "one long line: column numbers, comment swallows the file",
    lambda D: plain(D).replace("\n", "\r"))
add("b08_mixed_newlines", B, "either", "LF, CRLF, CR, LF CR mixed", "line numbers in diagnostics",
    lambda D: "".join(l + ("\n", "\r\n", "\n\r", "\r\r\n")[i % 4] for i, l in enumerate(plain(D).split("\n"))))
add("b09_odd_spaces", B, "reject", "NBSP, ideographic space, VT, FF, U+2028 as blanks", "invisible and not [ \\t]",
    lambda D: plain(D).replace(" = ", "\u00a0=\u3000", 1).replace("= 24\n", "=\x0b24\n").replace("wm =", "wm\x0c="))
add("b10_line_separators_in_comment", B, "safe", "U+0085, U+2028, U+2029, VT, FF, FS inside a doc comment", "str.splitlines() splits there, Python's tokenizer does not",
    with_(doc="a\x85" + PAY + "\u2028" + PAY + "\u2029b\x0b" + PAY + "\x0cc\x1c" + PAY + "\x1dd"))
add("b11_trojan_source", B, "reject", "right-to-left override and isolates in a comment", "what is read is not what is compiled (CVE-2021-42574)",
    with_(doc="depth is \u202e 22 = d \u2066 // \u2069 small \u202c"))
add("b12_zero_width_name", B, "reject", "zero-width joiner and soft hyphen inside names", "two names that look the same",
    lambda D: with_(title="RegNet\u200dX-400MF")(D).replace("wm =", "w\u00adm ="))
add("b13_homoglyph_parent", B, "reject", "parent spelled with a Cyrillic e", "message must show that the letters differ",
    with_(parent="R\u0435gNetX"))
add("b14_fullwidth_name", B, "reject", "fullwidth letters: class \uff38 is X for Python (NFKC)", "two classes become one in the output",
    lambda D: D.use("families.regnet") + D.decl("model", "RegNet\uff38", "RegNetX", MODEL) + D.decl("model", "RegNetX", "RegNetX", MODEL))
add("b15_nfc_nfd_names", B, "reject", "the same name in NFC and in NFD", "same file on some systems, two on others",
    lambda D: D.use("families.regnet") + D.decl("model", "Caf\u00e9", "RegNetX", MODEL) + D.decl("model", "Cafe\u0301", "RegNetX", MODEL))
add("b16_arabic_digits", B, "reject", "numbers in Arabic-Indic, Devanagari and fullwidth digits", "\\d and int() accept them",
    with_({"d": "\u0662\u0662", "w0": "\u0968\u096a", "g": "\uff11\uff16"}))
add("b17_superscript_roman", B, "reject", "2\u00b2, \u2163, \u00bd, \u2212 (minus sign), \u00d7", "isdigit() without int(); look-alike operators",
    with_({"d": "2\u00b2", "w0": "\u2163", "b": "\u00bd", "wa": "30 \u2212 5", "wm": "2 \u00d7 1"}))
add("b18_empty_file", B, "either", "zero bytes", "nothing to compile: say so", lambda D: b"")
add("b19_comment_without_newline", B, "either", "a lone comment, no newline at the end", "end of file inside a token", lambda D: "# hello")
add("b20_unterminated", B, "reject", "end of file inside a string inside a block", "position past the last line",
    lambda D: D.use("families.regnet") + 'model X extends RegNetX {\n  d = 22\n  published {\n    source = "never closed')
add("b21_ctrl_z_del", B, "reject", "0x1a, 0x7f, 0x08 in the body", "old end-of-file mark; backspaces that hide text in a terminal",
    with_({"wa": "24.48\x1a", "wm": "2.54\x7f\x08\x08\x08\x08" + "9.99"}))

# ---- C  numbers ----------------------------------------------------------------------------------------
C = "numbers"
add("c01_float_overflow", C, "reject", "1e400 and 9e307 * 9e307", "inf, then nan, then Infinity in JSON", with_({"wa": "1e400", "w0": "9e307 * 9e307"}))
add("c02_bignum_exponent", C, "reject", "1e999999999 (12 characters)", "Fraction or int(Decimal) of it never ends", with_({"d": "1e999999999"}))
add("c03_5000_digits", C, "reject", "an integer of 5,000 digits", "ValueError of int() above 4,300 digits", with_({"d": "9" * 5000}))
add("c04_denormals", C, "reject", "1e-999, 1e-400, 0.000...1", "rounds to zero, then a division", with_({"wa": "1e-999", "wm": "1 + 1e-400", "w0": "0." + "0" * 400 + "1"}))
add("c05_zero_everything", C, "reject", "depth, width, group, bottleneck all 0", "division by zero in arithmetic of the paper", with_({k: "0" for k, _ in MODEL}))
add("c06_negative", C, "reject", "negative depth and widths, by subtraction", "no unary minus in the grammar, but 0 - 5 is", with_({"d": "0 - 22", "w0": "8 - 32"}))
add("c07_nan_inf_words", C, "reject", "nan, inf, infinity, NaN as values", "float('nan') accepts the word", with_({"wa": "nan", "wm": "inf", "w0": "Infinity"}))
add("c08_other_literals", C, "reject", "0x10, 1_000, 007, .5, 1., 1e+3, 1e, 0b1, 1j", "Python's literals are not ours", with_({"d": "0x16", "w0": "2_4", "wa": ".5", "wm": "2.", "g": "1e+1", "b": "1j"}))
add("c09_machine_limits", C, "reject", "2147483648, 9223372036854775808, 1.8e308", "int32 and int64 columns (SQLite, Parquet, torch)", with_({"d": "9223372036854775808", "w0": "2147483648", "wa": "1.8e308"}))
add("c10_wm_one", C, "reject", "wm = 1 and wm < 1", "log(1) = 0: inf, nan", with_({"wm": "1"}))
add("c11_wa_extremes", C, "reject", "wa = 1e300", "width 0 after the cast of nan to int (measured)", with_({"wa": "1e300"}))
add("c12_depth_1e9", C, "reject", "d = 1,000,000,000", "an array of 8 GB before the first check", with_({"d": "1000000000"}))
add("c13_stages_1e6", C, "reject", "a million stages", "a generated file of 60 MB", lambda D: D.use("families.regnet") + D.decl("model", "M", "AnyNetX", [("stages", "1000000"), ("d[i]", "1"), ("w[i]", "8"), ("b[i]", "1"), ("g[i]", "8")]))
add("c14_div_zero", C, "reject", "1/0, 1/(2-2), 5M*(1/flops)", "ZeroDivisionError; division by something known late", with_({"d": "1/0", "w0": "1/(2-2)"}, extra=("params <= 5M * (1 / (flops - flops))",)))
add("c15_units", C, "reject", "22MF for a depth, 24K%, 1GF for a group, flops in percent", "a unit on the wrong thing", with_({"d": "22MF", "w0": "24K", "wa": "24.48%", "g": "1GF"}, extra=("flops <= 5%", "params <= 1GF")))
add("c19_unit_syntax", C, "reject", "24KK, 24%%, 1MFF, 400mf, 16 GF", "doubled, spaced or lower-case units", with_({"d": "22KK", "w0": "24%%", "wa": "1MFF", "wm": "400mf", "g": "16 GF"}))
add("c16_group_wider_than_width", C, "either", "g = 4096 for width 24; g = 7", "groups = 0; indivisible widths", with_({"g": "4096"}, extra=("w0 >= 24",)))
add("c17_image_and_classes", C, "reject", "image = 1, classes = 0, se = 5, se = 0", "spatial size 0, empty head, SE with no channels", with_(extra=(("image", "1"), ("classes", "0"), ("se", "5"))))
add("c18_precision", C, "either", "0.1 + 0.2 against 0.3; 24.479999999999999 against 24.48", "two specs equal in float, different in decimal: one canonical form", with_({"wa": "24.479999999999999999", "wm": "0.1 + 0.2 + 2.24"}, extra=("expect { wm = 2.54 }",)))

# ---- D  size, depth, cycles, explosions ----------------------------------------------------------------
S = "resources"
add("d01_parens_20000", S, "reject", "20,000 nested parentheses", "recursion of a parser or a visitor", with_({"d": "(" * 20000 + "22" + ")" * 20000}))
add("d02_lists_5000", S, "reject", "5,000 nested lists", "recursion: Transformer fails near 500-900", with_({"d": "[" * 5000 + "22" + "]" * 5000}))
add("d03_blocks_5000", S, "reject", "5,000 nested blocks", "recursion: Transformer fails near 300", lambda D: D.use("families.regnet") + "model M extends RegNetX {\n" + "expect {\n" * 5000 + "}\n" * 5000 + "}\n")
add("d04_sum_20000", S, "reject", "a sum of 20,000 terms", "left-recursive tree as deep as it is long", with_({"d": "+".join(["1"] * 20000)}))
add("d05_index_nest", S, "reject", "w[w[w[...]]] 5,000 deep", "recursion in index resolution", with_(extra=("w[" * 5000 + "1" + "]" * 5000 + " >= 1",)))
add("d06_list_50000", S, "reject", "a list of 50,000 values", "must be refused by length, quickly", with_(extra=(("w[i]", "[" + ", ".join(["8"] * 50000) + "]"),)))
add("d07_blank_lines", S, "either", "300,000 blank lines", "the newline token's regex keeps a stack: 200 MB per MB (measured)", lambda D: "\n" * 300000 + plain(D))
add("d08_one_long_comment", S, "either", "one comment of 300,000 characters", "diagnostics that print the whole line; docstring of 300 kB", lambda D: "# " + "x" * 300000 + "\n" + D.decl("model", "X", "RegNetX", MODEL))
add("d09_declarations_5000", S, "either", "5,000 declarations", "quadratic name look-up or did-you-mean", lambda D: D.use("families.regnet") + "".join(f"space S{i} extends RegNetX\n" for i in range(5000)))
add("d10_extends_chain", S, "either", "a chain of 3,000 parents", "recursion in scopes", lambda D: D.use("families.regnet") + "space S0 extends RegNetX\n" + "".join(f"space S{i+1} extends S{i}\n" for i in range(3000)))
add("d11_extends_cycle", S, "reject", "A extends A; B extends C, C extends B", "endless loop", lambda D: "space A extends A\nspace B extends C\nspace C extends B\n" + D.decl("model", "M", "B", MODEL))
add("d12_extends_diamond", S, "either", "40 levels, each extends the level below twice by different names", "2^40 visits unless memoised", lambda D: D.use("families.regnet") + "space L0 extends RegNetX\nspace R0 extends RegNetX\n" + "".join(f"space L{i+1} extends L{i}, R{i}\nspace R{i+1} extends R{i}, L{i}\n" for i in range(40)) + D.decl("model", "M", "L40, R40", MODEL))
add("d13_value_cycle", S, "reject", "d = w0, w0 = d; w[i] = w[i]", "value depends on itself", with_({"d": "w0", "w0": "d"}, extra=(("w[i]", "w[i]"),)))
add("d14_value_doubling", S, "reject", "x1 = x0 + x0, x2 = x1 + x1, ... 64 levels", "expression expanded instead of shared: 2^64", with_(extra=(("x0", "1"),) + tuple((f"x{i+1}", f"x{i} + x{i}") for i in range(64))))
add("d15_duplicates", S, "reject", "the same name declared twice, the same value twice, use twice", "last one wins silently", lambda D: D.use("families.regnet") + D.use("families.regnet") + D.decl("model", "M", "RegNetX", MODEL + [("d", "23")]) + D.decl("model", "M", "RegNetY", MODEL))
add("d16_empty_space", S, "reject", "contradictory bounds, then a sweep over the space", "rejection sampling that never ends", lambda D: D.use("families.regnet") + D.decl("space", "Empty", "RegNetX", [D.raw("d ~ uniform(4..63)"), D.raw("d <= 3"), D.raw("flops in 400MF..1MF")]) + D.decl("sweep", "s", "Empty", [("models", "500"), ("seed", "0")]))
add("d17_ranges", S, "reject", "by 0, reversed, log of 0, by a negative, 0..1e18 by 1", "endless or giant range", lambda D: D.use("families.regnet") + D.decl("space", "R", "RegNetX", [D.raw(t) for t in ("d ~ uniform(4..63 by 0)", "w0 ~ uniform(256..8)", "wa ~ log_uniform(0..256)", "wm ~ uniform(1..3 by (0-1))", "g ~ uniform(0..1e18 by 1)", "b ~ choice(1)")]))
add("d18_indices", S, "reject", "w[0], w[1e9], w[i+i], w[1.5], w[w[1]], d[i][i]", "index checks", with_(extra=("w[0] >= 1", "w[1000000000] >= 1", "w[i+i] >= w[i]", "w[1.5] >= 1", "w[w[1]] >= 1")))
add("d19_sweep_1e12", S, "reject", "a sweep of 1,000,000,000,000 models, seed of 400 digits", "reserve, count or print them", lambda D: D.use("families.regnet") + D.decl("space", "R", "RegNetX", [D.raw("d ~ uniform(12..28)")]) + D.decl("sweep", "s", "R", [("models", "1000000000000"), ("seed", "7" * 400)]))
add("d20_wrong_arity", S, "reject", "functions with too few, too many and repeated arguments, and a list where a number is meant", "TypeError as a traceback", with_(extra=(("w[i], d[i]", "quantized_linear(1)"), ("x", "sqrt(1, 2, 3)"), ("y", "sgd(lr = 1, lr = 2, 3)"), ("z", "sqrt([1, [2]])"))))
add("d21_empty_arguments", S, "reject", "quantized_linear(), choice(), an empty list", "syntax, or an index error", lambda D: D.use("families.regnet") + D.decl("space", "R", "RegNetX", [D.raw("b ~ choice()"), D.raw("w[i], d[i] = quantized_linear()")]))

# ---- E  files and imports ------------------------------------------------------------------------------
E = "imports"
body = lambda D: D.decl("model", "M", "RegNetX", MODEL)
uses = lambda *paths: (lambda D: "".join(D.use(p) for p in paths) + body(D))
add("e01_traversal", E, "reject", "../ to /etc/passwd, ..\\..\\, a/../../", "reads a file outside the root; prints its lines in a diagnostic", uses("../../../../../../etc/passwd", "..\\\\..\\\\secret.regnet", "a/../../../etc/hostname"))
add("e02_absolute", E, "reject", "/etc/passwd, C:\\\\, //host/share, file:///", "absolute and remote names", uses("/etc/passwd", "C:/Windows/win.ini", "//host/share/x.regnet", "file:///etc/passwd", "http://example.invalid/x.regnet"))
add("e03_devices", E, "reject", "/dev/zero, /dev/stdin, /dev/tty, /proc/self/environ", "endless read, blocked read, secrets", uses("/dev/zero", "/dev/stdin", "/proc/self/environ"))
add("e04_self", E, "reject", "a file that uses itself", "endless import", uses("e04_self.txt", "./e04_self.txt", "families.regnet"))
add("e05a_cycle", E, "reject", "a uses b, b uses a (with e05b)", "endless import", uses("e05b_cycle.txt", "families.regnet"))
add("e05b_cycle", E, "reject", "b uses a (with e05a)", "endless import", uses("e05a_cycle.txt", "families.regnet"))
add("e06_nul_in_path", E, "reject", "NUL, newline and bell in a path", "ValueError: embedded null byte, as a traceback", uses("families\0.regnet", "a\x07b.regnet"))
add("e07_long_path", E, "reject", "a path of 5,000 characters", "OSError 36 as a traceback", uses("a/" * 2500 + "x.regnet"))
add("e08_encoded", E, "reject", "%2e%2e/, ~, $HOME, *, {a,b}, trailing blanks", "shell or URL expansion", uses("%2e%2e/%2e%2e/etc/passwd", "~/x.regnet", "$HOME/x.regnet", "*.regnet", "families.regnet "))
add("e09_directory", E, "reject", "a directory, an empty path, a dot", "IsADirectoryError as a traceback", uses(".", "", ".."))
add("e10_case_alias", E, "reject", "the same file under three spellings", "same file twice, or two caches, on some systems", uses("families.regnet", "./families.regnet", "FAMILIES.regnet", "x/../families.regnet"))
add("e11_not_a_spec", E, "reject", "uses a Python file, a picture, a pickle by name", "must fail as a spec, without echoing binary text", uses("make_attacks.py", "MANIFEST.tsv"))
add("e12_missing_2000", E, "reject", "2,000 files that do not exist", "2,000 did-you-mean searches; a message of a megabyte", uses(*(f"missing_{i}.regnet" for i in range(2000))))


def data(make, D):
    out = make(D)
    return out if isinstance(out, bytes) else out.encode("utf-8", "surrogatepass")


def links(root):
    """Trees that plain files cannot carry: links, a pipe, odd names, no permission."""
    root.mkdir(parents=True, exist_ok=True)
    valid = b'space A\n'
    (root / "real.regnet").write_bytes(valid)
    for name, target in (("loop.regnet", "loop.regnet"), ("escape.regnet", "/etc/passwd"), ("zero.regnet", "/dev/zero"), ("dangling.regnet", "nowhere")):
        if not (root / name).is_symlink():
            os.symlink(target, root / name)
    if not (root / "pipe.regnet").exists():
        os.mkfifo(root / "pipe.regnet")
    (root / "locked.regnet").write_bytes(valid)
    os.chmod(root / "locked.regnet", 0)
    for name in (b"not-utf8-\xff\xfe.regnet", b"new\nline.regnet", b"-rf.regnet", b"coding=utf_7 .regnet", b"space bar.regnet", "caf\u00e9.regnet".encode(), b"a" * 247 + b".regnet"):
        with open(os.path.join(os.fsencode(root), name), "wb") as f:
            f.write(valid)
    readonly = root / "readonly"
    readonly.mkdir(exist_ok=True)
    os.chmod(readonly, 0o555)


README = """# Attacks on a .regnet compiler

{n} hostile or malformed specs, a mutator and a probe. They are grammar-light: `make_attacks.py` holds
each attack as data and prints it in the dialect of the day (`--dialect lines` is the language as it
is, `semicolons` a sketch of another with long names). Change `Dialect` and
`MODEL` when the grammar moves, run it again, and the files follow. `families.regnet` is there so that the
attacks resolve and get deep.

- `make_attacks.py` writes `*.txt`, `MANIFEST.tsv` and this page. `--links DIR` makes what plain files
  cannot carry: link loops, a link to /etc/passwd, a pipe, an unreadable file, names that are not UTF-8,
  that start with `-`, that hold a newline, and `coding=utf_7 .regnet` (a PEP 263 cookie once it stands in the
  header's first line).
- `mutate.py --specs DIR --out DIR -n N --seed S` writes N mutants of valid specs; `--one I` prints one.
- `probe.py --cmd 'regnetc compile {{file}} --out {{out}}' --dir . ` runs a command over a folder under limits and
  judges each run.

## What every run must satisfy, whatever the file
1. Exit code 0 or 1 (2 is wrong use of the command line); no signal, no traceback, no hang.
2. At most 2 s and 256 MB for one file of up to 256 KiB (5 s for the ones marked resources).
3. stderr: at most 64 KiB, UTF-8, no control character but newline; names a line and column inside the file.
4. No file called `{canary}` appears, neither while compiling nor when the output is executed.
5. Nothing is read outside the file's own folder and the library, nothing is written outside the output folder, and
   after exit code 1 the output folder is as it was.
6. If there is output, it parses, has no string that the spec could break out of, and its code (all but docstrings,
   names and numbers) is that of a harmless spec of the same shape.

`expect`: **reject** = exit 1 with at least one diagnostic; **accept** = exit 0; **safe** = either, but rule 4 and 6 are the
point, the text is legal and the natural answer is 0; **either** = the language has to choose, then pin the choice in a test.

Payloads are harmless: they create an empty file named `{canary}` in the working directory.

{table}
"""


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--dialect", choices=["lines", "semicolons"], default="lines")
    p.add_argument("--links", type=pathlib.Path, help="also make the tree of links and odd file names here")
    a = p.parse_args()
    D = Dialect(a.dialect)
    a.out.mkdir(parents=True, exist_ok=True)
    rows, table = ["file\tgroup\texpect\tbytes\twhat\twhy"], ["| file | expect | bytes | what it is | what it goes for |", "|---|---|---|---|---|"]
    for name, group, expect, what, why, make in ATTACKS:
        b = data(make, D)
        (a.out / f"{name}.txt").write_bytes(b)
        rows.append(f"{name}.txt\t{group}\t{expect}\t{len(b)}\t{what}\t{why}")
        table.append("| " + " | ".join(x.replace("|", "\\|") for x in (f"`{name}`", expect, f"{len(b):,}", what, why)) + " |")
    (a.out / "MANIFEST.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (a.out / "README.md").write_text(README.format(n=len(ATTACKS), canary=CANARY, table="\n".join(table)), encoding="utf-8")
    if a.links:
        links(a.links)
    print(f"{len(ATTACKS)} attacks in {a.out}")


if __name__ == "__main__":
    main()
