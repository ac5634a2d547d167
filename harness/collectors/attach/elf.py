"""Addresses of functions in another process, from its memory map and the dynamic symbols of the files it has mapped."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
_LOAD, _DYNAMIC = 1, 2
_HASH, _STRTAB, _SYMTAB, _STRSZ, _GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
_SYMBOL_BYTES = 24
_FUNCTION = 2
_MOST_SYMBOLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Image:
    """A file mapped into a process: its path there, where it begins in memory."""

    path: str
    start: int


def images(pid: int, proc: Path = Path("/proc")) -> list[Image]:
    """Files mapped from their beginning, in order of address. Raises OSError where the map cannot be read."""
    found = []
    for line in (proc / str(pid) / "maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and int(fields[2], 16) == 0 and fields[5].startswith("/"):
            found.append(Image(fields[5], int(fields[0].split("-")[0], 16)))
    return found


def mapping_of(pid: int, address: int, proc: Path = Path("/proc")) -> tuple[int, int] | None:
    """Begin and end of the mapping that holds an address."""
    for line in (proc / str(pid) / "maps").read_text().splitlines():
        begin, _, end = line.split(maxsplit=1)[0].partition("-")
        if int(begin, 16) <= address < int(end, 16):
            return int(begin, 16), int(end, 16)
    return None


def functions(path: Path, names: set[str]) -> dict[str, int]:
    """Offsets, from the beginning of the image, of exported functions; those it has not are left out.

    Raises ValueError where the file is not an ELF file of this kind.
    """
    with path.open("rb") as file:
        data = file.read()
    if not data.startswith(_MAGIC):
        raise ValueError("not a 64-bit ELF file")
    try:
        return _functions(data, names)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a broken ELF file: {error}") from error


def _functions(data: bytes, names: set[str]) -> dict[str, int]:
    table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: dict[int, int] = {}
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, table + index * size)
        if kind == _LOAD:
            loads.append((address, offset, length))
        elif kind == _DYNAMIC:
            entries = struct.iter_unpack("<qQ", data[offset : offset + length])
            dynamic = {tag: value for tag, value in entries if tag != 0}
    if not loads or not {_SYMTAB, _STRTAB} <= dynamic.keys():
        raise ValueError("an ELF file without dynamic symbols")

    def place(address: int) -> int:
        for begin, offset, length in loads:
            if begin <= address < begin + length:
                return address - begin + offset
        raise IndexError(f"address {address:#x} is not in the file")

    symbols, strings = place(dynamic[_SYMTAB]), place(dynamic[_STRTAB])
    first = min(address for address, _, _ in loads) & ~0xFFF
    found: dict[str, int] = {}
    wanted = {name.encode(): name for name in names}
    for index in range(_count(data, dynamic, place)):
        name_at, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, symbols + index * _SYMBOL_BYTES)
        if section == 0 or info & 0xF != _FUNCTION:
            continue
        end = data.index(b"\0", strings + name_at)
        name = wanted.get(data[strings + name_at : end])
        if name is not None:
            found[name] = value - first
    return found


def _count(data: bytes, dynamic: dict[int, int], place: object) -> int:
    """Number of dynamic symbols: told by the old hash table, or by the last chain of the GNU one."""
    assert callable(place)
    if _HASH in dynamic:
        return min(_MOST_SYMBOLS, int(struct.unpack_from("<I", data, place(dynamic[_HASH]) + 4)[0]))
    if _GNU_HASH not in dynamic:
        raise ValueError("an ELF file without a symbol hash")
    at = place(dynamic[_GNU_HASH])
    buckets, offset, bloom, _ = struct.unpack_from("<IIII", data, at)
    chains = at + 16 + 8 * bloom + 4 * buckets
    last = max(struct.unpack_from(f"<{buckets}I", data, at + 16 + 8 * bloom), default=0)
    if last < offset:
        return int(offset)
    while not struct.unpack_from("<I", data, chains + 4 * (last - offset))[0] & 1:
        last += 1
    return min(_MOST_SYMBOLS, last + 1)
