# SPDX-License-Identifier: MIT
"""Rows: what clients and proxies may do."""

from __future__ import annotations

from types import MappingProxyType

from cgunicorn.settings.checks import check_addresses
from cgunicorn.settings.kinds import BOOL, CSV, FIELDS, INT, INT64_MAX, STR
from cgunicorn.settings.row import SECURITY, Setting

ROWS = (
    Setting(
        "limit_request_line",
        SECURITY,
        INT,
        4094,
        "Bytes of the request line; 0: no limit of its own",
        "Values above 8190 count as 8190. Longer ones are answered 414.",
        flags=("--limit-request-line",),
        unit="bytes",
    ),
    Setting(
        "limit_request_fields",
        SECURITY,
        INT,
        100,
        "Header fields of a request; 0: 32768",
        "Values above 32768 count as 32768. More are answered 431.",
        flags=("--limit-request-fields",),
    ),
    Setting(
        "limit_request_field_size",
        SECURITY,
        INT,
        8190,
        "Bytes of a header field; 0: no limit of its own",
        "The whole line, its end counted. Longer ones are answered 431.",
        flags=("--limit-request-field_size",),
        unit="bytes",
        unlike="0 means 8190.",
    ),
    Setting(
        "limit_request_body",
        SECURITY,
        INT,
        2**30,
        "Bytes of a request body; 0: no limit",
        "Larger ones are answered 413.",
        flags=("--limit-request-body",),
        unit="bytes",
        most=INT64_MAX,
    ),
    Setting(
        "forwarded_allow_ips",
        SECURITY,
        CSV,
        ("127.0.0.1", "::1"),
        "Proxies that may speak for their clients",
        "IP addresses and networks, separated by commas, or * for everybody. What the settings"
        " secure_scheme_headers and forwarder_headers name counts when it comes from one of them"
        " or over a unix socket. The environment variable FORWARDED_ALLOW_IPS sets the default.",
        flags=("--forwarded-allow-ips",),
        env="FORWARDED_ALLOW_IPS",
        check=check_addresses,
    ),
    Setting(
        "secure_scheme_headers",
        SECURITY,
        FIELDS,
        MappingProxyType(
            {
                "X-FORWARDED-PROTOCOL": "ssl",
                "X-FORWARDED-PROTO": "https",
                "X-FORWARDED-SSL": "on",
            }
        ),
        "Headers by which a proxy says that its client used https",
        "A dict of names and values. A header with one of the names makes wsgi.url_scheme https,"
        " when it has exactly this value, or else http. Headers that disagree are answered 400.",
    ),
    Setting(
        "forwarder_headers",
        SECURITY,
        CSV,
        ("SCRIPT_NAME", "PATH_INFO"),
        "Headers with an underscore that proxies may send",
        "Names, separated by commas, or * for all. They are kept, whatever header_map says, when"
        " they come from forwarded_allow_ips. SCRIPT_NAME then says where the application is.",
        flags=("--forwarder-headers",),
    ),
    Setting(
        "header_map",
        SECURITY,
        STR,
        "drop",
        "What becomes of headers with an underscore in their name",
        "An application cannot tell X_Real_IP from X-Real-IP, so a client could pass one for the"
        " other. `drop` removes such headers, `refuse` answers 400, `dangerous` keeps them.",
        flags=("--header-map",),
        choices=("drop", "refuse", "dangerous"),
    ),
    Setting(
        "permit_obsolete_folding",
        SECURITY,
        BOOL,
        False,
        "Accept headers that go on in a next line",
        "The lines are joined by a space. HTTP has given this form up, since servers read it"
        " differently.",
        flags=("--permit-obsolete-folding",),
    ),
    Setting(
        "strip_header_spaces",
        SECURITY,
        BOOL,
        False,
        "Accept white space between a header's name and its colon",
        "HTTP forbids it, since servers read it differently.",
        flags=("--strip-header-spaces",),
    ),
    Setting(
        "permit_unconventional_http_method",
        SECURITY,
        BOOL,
        False,
        "Accept any token as the request method",
        "In lower case, too, and with any length. Otherwise only registered methods are served.",
        flags=("--permit-unconventional-http-method",),
    ),
    Setting(
        "permit_unconventional_http_version",
        SECURITY,
        BOOL,
        False,
        "Accept other versions than HTTP/1.0 and HTTP/1.1",
        "Of the form HTTP/x.y. They are answered as HTTP/1.0 when they are older than 1.1, else as"
        " HTTP/1.1.",
        flags=("--permit-unconventional-http-version",),
    ),
    Setting(
        "casefold_http_method",
        SECURITY,
        BOOL,
        False,
        "Turn the request method into upper case",
        "HTTP tells get from GET; this makes them the same.",
        flags=("--casefold-http-method",),
    ),
    Setting(
        "client_header_timeout",
        SECURITY,
        INT,
        30,
        "Seconds that a client has to send the request's head",
        "Counted from its first byte; for a new connection that sends nothing, from when it was"
        " accepted. Then the answer is 408.",
        flags=("--client-header-timeout",),
        unit="seconds",
        least=1,
    ),
    Setting(
        "client_body_timeout",
        SECURITY,
        INT,
        30,
        "Seconds between two pieces of a request's body",
        "A client that sends nothing for so long is answered 408.",
        flags=("--client-body-timeout",),
        unit="seconds",
        least=1,
    ),
    Setting(
        "send_timeout",
        SECURITY,
        INT,
        30,
        "Seconds between two pieces of a response that a client takes",
        "The connection of a client that takes nothing for so long is closed.",
        flags=("--send-timeout",),
        unit="seconds",
        least=1,
    ),
)
