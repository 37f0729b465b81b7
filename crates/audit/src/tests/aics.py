"""Logs of every size before aics-tlog: it accepts checkpoints, tiles, inclusion and consistency, and refuses a flipped bit.

Usage: aics.py FOLDER VKEY SIZE_MAX. FOLDER has tiles for every size and checkpoints/<size>.
"""

import random
import sys
from pathlib import Path

import aics_tlog as tlog
from aics_tlog.tiles import entry_bundle_path, tile_path


class Flipped:
    """A reader of one tree's tiles, and no later ones, that turns one bit of one file over."""

    def __init__(self, tiles, paths, draw):
        self.tiles, self.paths, self.path, self.bit = tiles, set(paths), draw.choice(paths), draw.randrange(1 << 30)

    def changed(self, path, data):
        if path not in self.paths:
            return None
        if path != self.path:
            return data
        data = bytearray(data)
        bit = self.bit % (len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        return bytes(data)

    def read_tile(self, level, index, width):
        return self.changed(tile_path(level, index, width), self.tiles.read_tile(level, index, width))

    def read_entry_bundle(self, index, width):
        return self.changed(entry_bundle_path(index, width), self.tiles.read_entry_bundle(index, width))


def paths(size):
    """The files that a tree of that size needs."""
    level, count = 0, size
    while count:
        for index in range(count // 256):
            yield tile_path(level, index, None)
            if level == 0:
                yield entry_bundle_path(index, None)
        if count % 256:
            yield tile_path(level, count // 256, count % 256)
            if level == 0:
                yield entry_bundle_path(count // 256, count % 256)
        level, count = level + 1, count // 256


def opened(note, key):
    """The checkpoint in a note that the key has signed."""
    seen = tlog.verify_checkpoint(tlog.parse_note(note), key, [], 0)
    if not seen.ok:
        raise ValueError(seen.error)
    return seen


def refused(act):
    try:
        act()
    except (tlog.TileVerificationError, tlog.TileMissingError, ValueError):
        return True
    return False


def main(folder, vkey, size_max):
    draw = random.Random(17)
    key = tlog.parse_vkey(vkey)
    tiles = tlog.FileSystemTileReader(folder)
    roots = []
    for size in range(1, size_max + 1):
        note = (folder / "checkpoints" / str(size)).read_bytes()
        seen = opened(note, key)
        assert seen.size == size, (size, seen)
        bit = draw.randrange(len(note) * 8)
        changed = bytearray(note)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(lambda: opened(bytes(changed), key)), f"bit {bit} of the checkpoint at size {size}"

        reader = tlog.VerifiedTileReader(tiles, size, seen.root)
        index = draw.randrange(size)
        proof = tlog.inclusion_proof_from_tiles(reader, index, size)
        assert tlog.verify_leaf_inclusion(reader.entry(index), index, size, proof, seen.root), size
        if roots:
            old = draw.randrange(len(roots)) + 1
            proof = tlog.consistency_proof_from_tiles(reader, old, size)
            assert tlog.verify_consistency(old, size, roots[old - 1], seen.root, proof), (old, size)
        roots.append(seen.root)

        flipped = Flipped(tiles, list(paths(size)), draw)
        assert refused(lambda: tlog.audit_tiles(flipped, size, seen.root)), f"{flipped.path} at size {size}"
    tlog.audit_tiles(tiles, size, seen.root)
    print(f"aics-tlog {tlog.__version__}: {size} sizes")


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
