"""Writes GGUF files for the tests, also damaged ones: every part can be replaced by bytes of one's own."""

import struct

SCALARS = {"u32": (4, "<I"), "i32": (5, "<i"), "f32": (6, "<f"), "bool": (7, "<B"), "u64": (10, "<Q"), "u8": (0, "<B")}


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    """A metadata value: ("u32", 3), ("str", "x"), ("[str]", ["x"]), ("[f32]", [1.0])."""
    if kind == "raw":
        return content
    if kind == "str":
        return struct.pack("<I", 8) + text(content)
    if kind.startswith("["):
        inner = kind[1:-1]
        number = 8 if inner == "str" else SCALARS[inner][0]
        body = b"".join(text(v) if inner == "str" else struct.pack(SCALARS[inner][1], v) for v in content)
        return struct.pack("<IIQ", 9, number, len(content)) + body
    number, layout = SCALARS[kind]
    return struct.pack("<I", number) + struct.pack(layout, content)


def pairs(metadata):
    return b"".join(text(key) + value(*content) for key, content in metadata.items())


def tensor_info(name, sizes, kind=0, offset=0):
    """sizes: fastest first, as the file has them."""
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def build(metadata=None, infos=(), data=b"", *, magic=b"GGUF", version=3, tensors=None, keys=None, alignment=32):
    metadata = {"general.architecture": ("str", "llama")} if metadata is None else metadata
    tensors = len(infos) if tensors is None else tensors
    keys = len(metadata) if keys is None else keys
    head = magic + struct.pack("<IQQ", version, tensors, keys) + pairs(metadata) + b"".join(infos)
    return head + b"\0" * (-len(head) % alignment) + data


VECTOR = struct.pack("<8f", *range(8))


def small(**changes):
    """A sound file with one tensor `a` of eight floats, or what `changes` makes of it."""
    return build(**{"infos": [tensor_info("a", [8])], "data": VECTOR, **changes})
