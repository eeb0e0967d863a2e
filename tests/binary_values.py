"""Short ways to write binary packages, keys and stores in tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from compatlayer import signing
from compatlayer.binaries.entry import Entry
from compatlayer.binaries.key import Key, Premises
from compatlayer.binaries.premises import Keyring
from compatlayer.binaries.store import Store
from compatlayer.gentoo.ingredients import Ingredients

PREMISES = Premises(
    prefix=PurePosixPath("/cvmfs/tiny.example.org/1"),
    target="linux-x86_64 x86_64-pc-linux-gnu",
    engine="guest",
    portage="3.0.83",
    owner="root",
    trusted_directories=("/lib/override",),
    toolchain={"gcc": "gcc (Tiny 12.2.0-14) 12.2.0"},
    environment={"PATH": "/usr/bin:/bin", "HOME": "/root", "MAKEOPTS": "-j2"},
    features=("-sandbox", "observability"),
    configuration={PurePosixPath("make.conf/10-common"): b"", PurePosixPath("sets/tiny"): b""},
)


def ingredients(cpv: str, **fields: object) -> Ingredients:
    """What Portage says of a package; everything that is not named is as usual."""
    usual: dict[str, object] = {
        "ebuild": "e" * 64,
        "eclasses": {"toolchain": "c" * 64},
        "files": {"a.patch": "f" * 64},
        "sources": {"a-1.tar.gz": "SHA512:00 size:7"},
        "hooks": {"00 profile.bashrc": "b" * 64},
        "settings": {"CFLAGS": "-O2", "MAKEOPTS": "-j4"},
        "features": ("sandbox", "strict", "news"),
        "use": ("elibc_glibc",),
    }
    return Ingredients(cpv=cpv, **(usual | fields))  # type: ignore[arg-type]


def key(cpv: str, digest: str = "1" * 64, **parts: str) -> Key:
    return Key(cpv, digest, parts)


def ring(*keys: Key, needs: dict[str, set[str]] | None = None, without: dict[str, str] | None = None) -> Keyring:
    every: dict[str, set[str]] = {one.cpv: set() for one in keys} | {cpv: set() for cpv in without or {}}
    return Keyring({one.cpv: one for one in keys}, without or {}, every | (needs or {}))


def gpkg(file: Path, cpv: str = "app-misc/one-1", image: bytes = b"image") -> Path:
    """A file that is laid out as GLEP 78 says; its members hold whatever they are given."""
    name = cpv.partition("/")[2]
    members = {"metadata.tar": b"metadata", "image.tar": image}
    manifest = "".join(
        f"DATA {member} {len(content)} BLAKE2B {hashlib.blake2b(content).hexdigest()} SHA512 {hashlib.sha512(content).hexdigest()}\n"
        for member, content in members.items()
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for member, content in {"gpkg-1": b"", **members, "Manifest": manifest.encode()}.items():
            info = tarfile.TarInfo(f"{name}/{member}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


@dataclass
class Filled:
    """A store in ``directory`` that a builder with a key of its own writes to."""

    directory: Path
    signer: signing.PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.directory / "store")
        self.signer = signing.make_private_key(self.directory / "keys" / "builder.pem")

    @property
    def trusted(self) -> tuple[signing.PublicKey, ...]:
        return (self.signer.public("builder"),)

    def add(self, one: Key, image: bytes = b"image", signer: signing.PrivateKey | None = None) -> Entry:
        """Store a package under a key."""
        file = gpkg(self.directory / "built.gpkg.tar", one.cpv, image)
        content = file.read_bytes()
        entry = Entry(one, hashlib.sha256(content).hexdigest(), len(content))
        self.store.add([(entry, entry.signed(signer or self.signer), file)])
        return entry
