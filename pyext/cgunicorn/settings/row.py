# SPDX-License-Identifier: MIT
"""One row of the settings table, and the sections that the rows are grouped in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cgunicorn import _cgunicorn
from cgunicorn.errors import shown
from cgunicorn.settings.kinds import CALLABLE, INT, INT_MAX, INT_OR_AUTO, MODE, Kind

CONFIG_FILE = "Config File"
SERVER_SOCKET = "Server Socket"
WORKER_PROCESSES = "Worker Processes"
SECURITY = "Security"
DEBUGGING = "Debugging"
SERVER_MECHANICS = "Server Mechanics"
LOGGING = "Logging"
PROCESS_NAMING = "Process Naming"
SERVER_HOOKS = "Server Hooks"
SSL = "SSL"
ABSENT = "Without Effect"

#: In the order of --help.
SECTIONS = (
    CONFIG_FILE,
    SERVER_SOCKET,
    WORKER_PROCESSES,
    SECURITY,
    DEBUGGING,
    SERVER_MECHANICS,
    PROCESS_NAMING,
    LOGGING,
    SERVER_HOOKS,
    SSL,
    ABSENT,
)

VARIABLE_PREFIX = "CGUNICORN_"

_C_FIELDS = frozenset(name for name, _ in _cgunicorn.setting_fields)


class Setting(NamedTuple):
    """
    name          in config files and wherever it is shown
    section       the heading in --help
    default       None: not set
    help          one line
    description   a paragraph for the documentation
    flags         none: the command line cannot set it
    flag_value    what the flags of a BOOL store
    bare_value    what the flags store when no value follows them; none: one must follow
    meta          names the value in --help, where the kind's word is too general
    env           Gunicorn's environment variable for the default, after from_env; every setting
                  has one of ours beside it, see `variable`
    least, most   the range of an integer
    choices       the strings that are valid, in lower case
    unit          of the value
    default_text  what --help says instead of the default
    check         refuses or changes a value that kind, range and choices let pass
    refusal       what a value out of `choices` is told, with the value in place of {}; none: a list
                  of them
    unlike        what Gunicorn does otherwise, for the documentation
    instead       not empty: the setting has no effect here, and this says what to use instead;
                  whoever gives it another value than the default is told
    """

    name: str
    section: str
    kind: Kind
    default: Any
    help: str
    description: str = ""
    flags: tuple[str, ...] = ()
    flag_value: bool = True
    bare_value: str = ""
    meta: str = ""
    env: str = ""
    from_env: Callable[[str], object] = str
    least: int = 0
    most: int = INT_MAX
    choices: tuple[str, ...] = ()
    unit: str = ""
    default_text: str = ""
    check: Callable[[Any], Any] | None = None
    refusal: str = ""
    unlike: str = ""
    instead: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return VARIABLE_PREFIX + self.name.upper()

    @property
    def in_c(self) -> bool:
        """Whether the C side gets it."""
        return self.name in _C_FIELDS

    @property
    def valid(self) -> str:
        """What is valid, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is MODE:
            return f"an integer from {self.least:#o} to {self.most:#o}"
        if self.kind in (INT, INT_OR_AUTO):
            unit = f", in {self.unit}" if self.unit else ""
            span = f"an integer from {self.least} to {self.most}{unit}"
            return self.kind.valid.replace("an integer", span)
        return self.kind.valid

    def accept(self, value: object) -> Any:
        """The value to use for a given one; ValueError with a sentence."""
        given = value
        try:
            value = self.kind.check(value)
        except ValueError as error:
            raise ValueError(str(error) or f"it must be {self.valid}.") from None
        if isinstance(value, int) and not self.least <= value <= self.most:
            sign = f"Value must be positive: {shown(value)}; " if value < 0 else ""
            raise ValueError(f"{sign}it must be {self.valid}.")
        if self.choices:
            value = str(value).lower()
            if value not in self.choices:
                sentence = f"{self.refusal.format(shown(given))}; " if self.refusal else ""
                raise ValueError(f"{sentence}it must be {self.valid}.")
        return self._checked(value) if self.check else value

    def _checked(self, value: Any) -> Any:
        assert self.check  # noqa: S101 - the caller has looked
        try:
            return self.check(value)
        except ValueError as error:
            if self.kind is CALLABLE:
                raise ValueError(f"{error}; it is called with {self.meta}.") from None
            raise
