"""Who builds, where and how: what must leave no trace in a layer. Pure: values in, values out.

A second build is made under circumstances that differ from the first one's in every way that can be had; the rest is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeVar

# The second values are chosen so that nobody writes them by accident: where one turns up in a file, the build has put it there.
_OTHER_USER_ID = (47113, 47117)
_OTHER_HOST_NAME = ("second-host.invalid", "another-host.invalid")
# POSIX's notation (tzset(3)), which needs no time zone files; no zone on earth has a quarter of an hour here.
_OTHER_TIME_ZONE = ("SEC-11:45", "OTH-9:45")
_OTHER_LOCALE = ("POSIX", "C.UTF-8")
_OTHER_UMASK = (0o077, 0o007)
BUILD_AT = "second-build"

_Value = TypeVar("_Value", int, str)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a build could remember. ``home`` and ``state`` are directories of the machine, ``build_directory`` is one of the view.

    ``jobs`` is how many packages are built at once, ``file_system`` the type of the one that is built on.
    """

    user_id: int
    user: str
    host_name: str
    time_zone: str
    locale: str
    umask: int
    home: str
    state: str
    build_directory: str
    jobs: int
    file_system: str


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One of them, as text: what it was in the first build and what in the second."""

    name: str
    first: str
    second: str

    @property
    def is_varied(self) -> bool:
        """Whether the two differ."""
        return self.first != self.second


# Nothing else about the machine can be varied on the machine itself, or not without a risk.
NOT_VARIED = {
    "directory order": "only another file system under --scratch brings one: what shuffles it lies in user space",
    "processor, kernel, compiler": "one machine has one of each: build on another one, and compare its revision",
    "owner of files": "no part of a layer: repositories replace owners when publishing",
}


def another(than: Circumstances, state: str, file_system: str, jobs: int | None = None) -> Circumstances:
    """Circumstances for a second build in the directory ``state``."""
    user_id = _other(_OTHER_USER_ID, than.user_id)
    return Circumstances(
        user_id=user_id,
        user=f"user{user_id}",
        host_name=_other(_OTHER_HOST_NAME, than.host_name),
        time_zone=_other(_OTHER_TIME_ZONE, than.time_zone),
        locale=_other(_OTHER_LOCALE, than.locale),
        umask=_other(_OTHER_UMASK, than.umask),
        home=f"{state}/home-of-second-build",
        state=state,
        build_directory=f"/compatlayer/{BUILD_AT}",
        jobs=jobs or than.jobs + 1,
        file_system=file_system,
    )


def compared(first: Circumstances, second: Circumstances) -> tuple[Circumstance, ...]:
    """Both side by side, in words."""
    return tuple(
        Circumstance(field.name.replace("_", " "), _text(field.name, first), _text(field.name, second))
        for field in fields(Circumstances)
    )


def _other(choices: tuple[_Value, ...], than: _Value) -> _Value:
    return next(choice for choice in choices if choice != than)


def _text(name: str, circumstances: Circumstances) -> str:
    value = getattr(circumstances, name)
    return f"{value:04o}" if name == "umask" else str(value)


def traces(circumstances: Circumstances) -> Iterator[tuple[str, bytes]]:
    """What a file would hold that remembers one of these, by the circumstance's name."""
    yield "host name", circumstances.host_name.encode()
    yield "user name", circumstances.user.encode()
    yield "user name", str(circumstances.user_id).encode()
    yield "build path", circumstances.build_directory.encode()
    yield "build path", circumstances.state.encode()
    yield "build path", circumstances.home.encode()
    yield "time zone", circumstances.time_zone.encode()
