# SPDX-License-Identifier: MIT
"""Rows: Gunicorn's TLS. Who gives a certificate relies on it, and to serve without would be less
safe than was asked for: these settings are refused. The others mean nothing without a certificate
and draw a warning, as they stand in the configuration of many who end TLS at a proxy."""

from __future__ import annotations

from cgunicorn.settings.checks import check_no_tls
from cgunicorn.settings.kinds import ANY, BOOL, INT, STR
from cgunicorn.settings.row import SSL, Setting

_INSTEAD = "TLS ends at the proxy in front, which has such a setting of its own"

ROWS = (
    Setting(
        "keyfile",
        SSL,
        STR,
        None,
        "Refused: this version does not speak TLS",
        "Let a proxy such as nginx end TLS in front of the server.",
        flags=("--keyfile",),
        meta="FILE",
        check=check_no_tls,
    ),
    Setting(
        "certfile",
        SSL,
        STR,
        None,
        "Refused: this version does not speak TLS",
        "Let a proxy such as nginx end TLS in front of the server.",
        flags=("--certfile",),
        meta="FILE",
        check=check_no_tls,
    ),
    Setting(
        "ssl_context",
        SSL,
        ANY,
        None,
        "Refused: this version does not speak TLS",
        "Let a proxy such as nginx end TLS in front of the server.",
        check=check_no_tls,
    ),
    Setting(
        "ssl_version",
        SSL,
        ANY,
        2,
        "The version of TLS",
        flags=("--ssl-version",),
        instead=_INSTEAD,
    ),
    Setting(
        "cert_reqs",
        SSL,
        INT,
        0,
        "Whether clients need a certificate",
        flags=("--cert-reqs",),
        most=2,
        instead=_INSTEAD,
    ),
    Setting(
        "ca_certs",
        SSL,
        STR,
        None,
        "The file with the authorities for client certificates",
        flags=("--ca-certs",),
        meta="FILE",
        instead=_INSTEAD,
    ),
    Setting(
        "suppress_ragged_eofs",
        SSL,
        BOOL,
        True,
        "Take a connection that ends without a farewell as ended",
        flags=("--suppress-ragged-eofs",),
        instead=_INSTEAD,
    ),
    Setting(
        "do_handshake_on_connect",
        SSL,
        BOOL,
        False,
        "When the handshake takes place",
        flags=("--do-handshake-on-connect",),
        instead=_INSTEAD,
    ),
    Setting(
        "ciphers",
        SSL,
        STR,
        None,
        "The ciphers to offer",
        flags=("--ciphers",),
        instead=_INSTEAD,
    ),
)
