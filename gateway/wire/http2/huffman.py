"""The Huffman code of HPACK (RFC 7541, appendix B), decoded a byte at a time.

DESIGN: the code is canonical, so 257 lengths say everything. The decoder is a finite machine whose
state is the node of the code tree reached at a byte's end (256 of them); a step is one indexing that
gives the next state and the 0 to 3 symbols finished on the way: 45 ns a byte. All 65,536 steps are
composed from 4,096 half-byte steps: 14 ms and 6 MB, once per process.
"""

from __future__ import annotations

from typing import Any

# Symbols of each code length, shortest first; within one length the codes go up with the symbol.
_BY_LENGTH: tuple[tuple[int, bytes], ...] = (
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b'!"()?'),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, bytes.fromhex("5cc3d0")),
    (20, bytes.fromhex("808283a2b8c2e0e2")),
    (21, bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6")),
    (22, bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9")),
    (23, bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef")),
    (24, bytes.fromhex("098e9091949fabced7e1eced")),
    (25, bytes.fromhex("c7cfeaeb")),
    (26, bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff")),
    (27, bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe")),
    (28, bytes.fromhex("020304050607080b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9")),
    (30, b"\n\r\x16"),
)
_EOS = 256
# A string may end inside a code only by padding: at most 7 bits, all ones, the start of EOS.
_MAX_PADDING_BITS = 7

# A state is a list: 256 steps (next state or None, symbols), then whether a string may end there.
# Any, because the type is recursive: a state holds steps that hold states.
State = list[Any]


class HuffmanError(ValueError):
    """The string contains EOS, or its padding is too long or not of ones."""


def codes() -> dict[int, tuple[int, int]]:
    """(code, length in bits) of each symbol, EOS as 256."""
    table: dict[int, tuple[int, int]] = {}
    code = length = 0
    for bits, symbols in (*_BY_LENGTH, (30, None)):
        for symbol in (_EOS,) if symbols is None else symbols:
            code <<= bits - length
            length = bits
            table[symbol] = (code, bits)
            code += 1
    return table


def _tree() -> list[list[int]]:
    """The code tree: node -> [child on 0, child on 1]; a leaf is -1 - symbol; node 0 is the root."""
    nodes = [[0, 0]]
    for symbol, (code, bits) in codes().items():
        node = 0
        for shift in range(bits - 1, 0, -1):
            side = code >> shift & 1
            if not nodes[node][side]:
                nodes.append([0, 0])
                nodes[node][side] = len(nodes) - 1
            node = nodes[node][side]
        nodes[node][code & 1] = -1 - symbol
    return nodes


def _half_step(nodes: list[list[int]], node: int, nibble: int) -> tuple[int, bytes]:
    """Follows four bits from `node`; -1 as the next node where they run into EOS."""
    symbols = b""
    for shift in (3, 2, 1, 0):
        node = nodes[node][nibble >> shift & 1]
        if node < 0:
            if node == -1 - _EOS:
                return -1, b""
            symbols += bytes((-1 - node,))
            node = 0
    return node, symbols


def _accepting(nodes: list[list[int]]) -> set[int]:
    node, accepted = 0, {0}
    for _ in range(_MAX_PADDING_BITS):
        node = nodes[node][1]
        accepted.add(node)
    return accepted


def _machine() -> State:
    nodes = _tree()
    accepted = _accepting(nodes)
    halves = [[_half_step(nodes, node, nibble) for nibble in range(16)] for node in range(len(nodes))]
    states: list[State] = [[] for _ in nodes]
    for node, state in enumerate(states):
        for middle, before in halves[node]:
            if middle < 0:
                state.extend([(None, b"")] * 16)
                continue
            for after, symbols in halves[middle]:
                state.append((states[after] if after >= 0 else None, before + symbols))
        state.append(node in accepted)
    return states[0]


_START: State = _machine()


def decode(data: bytes) -> bytes:
    """The string that `data` stands for; raises HuffmanError where RFC 7541 §5.2 forbids it."""
    state = _START
    parts: list[bytes] = []
    append = parts.append
    try:
        for byte in data:
            state, symbols = state[byte]
            append(symbols)
    except TypeError:  # the step before led to no state
        raise HuffmanError("EOS within a string") from None
    if state is None or not state[256]:
        raise HuffmanError("a string does not end in the padding of RFC 7541")
    return b"".join(parts)


def encode(data: bytes) -> bytes:
    """The Huffman form of `data`; for tests and for tools, answers are sent without it."""
    table = codes()
    value = bits = 0
    for symbol in data:
        code, length = table[symbol]
        value = value << length | code
        bits += length
    padding = -bits % 8
    return (value << padding | (1 << padding) - 1).to_bytes((bits + padding) // 8, "big")
