# SPDX-License-Identifier: MIT
"""The settings, each declared here and nowhere else: the command line, --help, --print-config, the
validation and the documentation come from these rows. To add a setting, add a row; when the C side
needs it, a line in server/settings/settings.def too.

Names, flags and defaults are Gunicorn's where Gunicorn has the setting.
"""

from __future__ import annotations

from types import MappingProxyType

from cgunicorn.kinds import (
    BOOL,
    CSV,
    FIELDS,
    INT,
    INT64_MAX,
    LIST,
    MODE,
    PROXY_MODE,
    STR,
    Setting,
    check_addresses,
    check_binds,
    check_chdir,
    check_environment,
    check_folder,
    check_worker_class,
)

CONFIG_FILE = "Config File"
SERVER_SOCKET = "Server Socket"
WORKER_PROCESSES = "Worker Processes"
SECURITY = "Security"
DEBUGGING = "Debugging"
SERVER_MECHANICS = "Server Mechanics"
LOGGING = "Logging"

#: In the order of --help.
SECTIONS = (
    CONFIG_FILE,
    SERVER_SOCKET,
    WORKER_PROCESSES,
    SECURITY,
    DEBUGGING,
    SERVER_MECHANICS,
    LOGGING,
)

_ROWS = (
    Setting(
        "config",
        CONFIG_FILE,
        STR,
        None,
        "The configuration file, a Python file",
        "PATH, file:PATH or python:MODULE. Without it, cgunicorn.conf.py or else gunicorn.conf.py"
        " of the folder the server was started in is read, if there is one. Every global variable"
        " with the name of a setting sets it. A file is run again by a reload, a module is not. Has"
        " no effect inside the file itself.",
        flags=("-c", "--config"),
        meta="CONFIG",
        default_text="./cgunicorn.conf.py, ./gunicorn.conf.py",
    ),
    Setting(
        "wsgi_app",
        CONFIG_FILE,
        STR,
        None,
        "The application, where the command line names none",
        "MODULE, MODULE:NAME, MODULE:OBJECT.NAME or MODULE:FACTORY(ARGUMENTS), the arguments being"
        " literals. Without a name it is `application`.",
    ),
    Setting(
        "bind",
        SERVER_SOCKET,
        LIST,
        ("127.0.0.1:8000",),
        "An address to listen at; may be repeated",
        "HOST, HOST:PORT, :PORT, [IPV6]:PORT, unix:PATH or fd://N. The environment variable PORT"
        " makes the default 0.0.0.0:$PORT.",
        flags=("-b", "--bind"),
        meta="ADDRESS",
        env="PORT",
        from_env="0.0.0.0:{}".format,
        check=check_binds,
    ),
    Setting(
        "backlog",
        SERVER_SOCKET,
        INT,
        2048,
        "Connections that may wait to be accepted",
        "What is passed to listen(2); the system may hold it to less (net.core.somaxconn).",
        flags=("--backlog",),
    ),
    Setting(
        "workers",
        WORKER_PROCESSES,
        INT,
        1,
        "The number of worker processes",
        "Two to four for each core is a good start. The environment variable WEB_CONCURRENCY sets"
        " the default. With 0 only the master runs, until TTIN asks for workers.",
        flags=("-w", "--workers"),
        env="WEB_CONCURRENCY",
        most=1000,
    ),
    Setting(
        "worker_class",
        WORKER_PROCESSES,
        STR,
        "sync",
        "The type of workers",
        "`sync` runs one request at a time in each worker; slow and idle clients are parked and"
        " hold nobody up. `async` keeps connections alive, runs the application in `threads`"
        " threads and goes on serving all other clients while they are busy; `gthread` is another"
        " name for it.",
        flags=("-k", "--worker-class"),
        check=check_worker_class,
    ),
    Setting(
        "threads",
        WORKER_PROCESSES,
        INT,
        1,
        "Threads of a worker that run the application",
        "So many requests may be in the application at once; connections do not count. With more"
        " than one, the worker class `sync` becomes `gthread`. The application must be thread-safe"
        " then.",
        flags=("--threads",),
        least=1,
        most=1000,
    ),
    Setting(
        "worker_connections",
        WORKER_PROCESSES,
        INT,
        1000,
        "Clients that a worker may have connected at once",
        "A worker that has so many accepts no more until one is gone.",
        flags=("--worker-connections",),
        least=1,
    ),
    Setting(
        "max_requests",
        WORKER_PROCESSES,
        INT,
        0,
        "Requests after which a worker is replaced; 0: never",
        "Against applications that leak memory.",
        flags=("--max-requests",),
    ),
    Setting(
        "max_requests_jitter",
        WORKER_PROCESSES,
        INT,
        0,
        "At most so much is added to max_requests, at random",
        "Each worker draws its own number, so that not all are replaced at the same time.",
        flags=("--max-requests-jitter",),
    ),
    Setting(
        "timeout",
        WORKER_PROCESSES,
        INT,
        30,
        "Seconds that a request may take; 0: no limit",
        "A worker that shows no sign of life for so long, in a request or while it loads the"
        " application, is killed and replaced. The log names the request.",
        flags=("-t", "--timeout"),
        unit="seconds",
    ),
    Setting(
        "graceful_timeout",
        WORKER_PROCESSES,
        INT,
        30,
        "Seconds that workers have to finish when told to stop",
        "What is not done by then is killed.",
        flags=("--graceful-timeout",),
        unit="seconds",
    ),
    Setting(
        "keepalive",
        WORKER_PROCESSES,
        INT,
        None,
        "Seconds that an idle connection is kept open; 0: closed",
        "While it is not set, the sync worker closes each connection after its response, and the"
        " others keep it for 75 seconds: longer than proxies and load balancers keep theirs (nginx"
        " and AWS: 60), so that none sends a request into a connection that is being closed, which"
        " it would answer with a 502. Set, it is honoured by every worker class.",
        flags=("--keep-alive",),
        unit="seconds",
        default_text="sync: closed; async, gthread: 75",
    ),
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
        "Name and value together. Longer ones are answered 431.",
        flags=("--limit-request-field_size",),
        unit="bytes",
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
        "127.0.0.1,::1",
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
        "SCRIPT_NAME,PATH_INFO",
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
    Setting(
        "check_config",
        DEBUGGING,
        BOOL,
        False,
        "Load configuration and application, then exit",
        "The exit code is 0 when all is well, else 1.",
        flags=("--check-config",),
    ),
    Setting(
        "print_config",
        DEBUGGING,
        BOOL,
        False,
        "Print the value of every setting, then as --check-config",
        flags=("--print-config",),
    ),
    Setting(
        "preload_app",
        SERVER_MECHANICS,
        BOOL,
        False,
        "Load the application before the workers are forked",
        "Saves memory and time; the code is then not loaded anew on HUP.",
        flags=("--preload",),
    ),
    Setting(
        "sendfile",
        SERVER_MECHANICS,
        BOOL,
        True,
        "Send files without sendfile(2)",
        "True means that files which the application returns through wsgi.file_wrapper are sent by"
        " sendfile(2). The environment variable SENDFILE (y, 1, yes, true; else off) sets the"
        " default.",
        flags=("--no-sendfile",),
        flag_value=False,
        env="SENDFILE",
        from_env=lambda text: text.lower() in ("y", "1", "yes", "true"),
    ),
    Setting(
        "chdir",
        SERVER_MECHANICS,
        STR,
        None,
        "The folder to change to before the application is loaded",
        "It is put in front of sys.path too. A relative path counts from the folder the server was"
        " started in.",
        flags=("--chdir",),
        meta="DIR",
        default_text="where it was started",
        check=check_chdir,
    ),
    Setting(
        "raw_env",
        SERVER_MECHANICS,
        LIST,
        (),
        "An environment variable for the application; may be repeated",
        "NAME=VALUE, set before the application is loaded, in the master and the workers.",
        flags=("-e", "--env"),
        meta="ENV",
        check=check_environment,
    ),
    Setting(
        "pidfile",
        SERVER_MECHANICS,
        STR,
        None,
        "The file that holds the pid of the master",
        "Not set, there is none. A relative path counts from chdir. The server does not start while"
        " the file names another process that lives; a reload writes it anew.",
        flags=("-p", "--pid"),
        meta="FILE",
        default_text="none",
    ),
    Setting(
        "worker_tmp_dir",
        SERVER_MECHANICS,
        STR,
        None,
        "Has no effect: heartbeats need no files here",
        "Accepted because many start scripts for Gunicorn set it.",
        flags=("--worker-tmp-dir",),
        meta="DIR",
    ),
    Setting(
        "umask",
        SERVER_MECHANICS,
        MODE,
        0,
        "The umask for unix sockets",
        "A number as in Python, or with a leading zero in octal.",
        flags=("-m", "--umask"),
        most=0o777,
    ),
    Setting(
        "proxy_protocol",
        SERVER_MECHANICS,
        PROXY_MODE,
        "off",
        "Take clients' addresses from the PROXY protocol",
        "off, v1, v2 or auto, which is both versions; True and the flag without a value mean auto."
        " A proxy of proxy_allow_ips may then say at the beginning of a connection who its client"
        " is; REMOTE_ADDR and the logs show that one. A connection that begins with a request is"
        " served as usual.",
        flags=("--proxy-protocol",),
        meta="[MODE]",
        bare_value="auto",
        choices=("off", "v1", "v2", "auto"),
    ),
    Setting(
        "proxy_allow_ips",
        SERVER_MECHANICS,
        CSV,
        "127.0.0.1,::1",
        "Proxies that may use the PROXY protocol",
        "IP addresses and networks, separated by commas, or * for everybody. Others who try are"
        " answered 403. A proxy that connects over a unix socket always may.",
        flags=("--proxy-allow-from",),
        check=check_addresses,
    ),
    Setting(
        "client_body_buffer_size",
        SERVER_MECHANICS,
        INT,
        2**20,
        "Bytes of a request body that are held in memory",
        "A larger body waits in an unlinked temporary file in tmp_upload_dir.",
        flags=("--client-body-buffer-size",),
        unit="bytes",
    ),
    Setting(
        "tmp_upload_dir",
        SERVER_MECHANICS,
        STR,
        None,
        "The folder for bodies that are not held in memory",
        "Not set, it is the system's folder for temporary files. A relative path counts from the"
        " folder the server was started in.",
        check=check_folder,
    ),
    Setting(
        "pythonpath",
        SERVER_MECHANICS,
        STR,
        None,
        "Folders for sys.path, separated by commas",
        "Each in turn is put in front, so the last one is searched first. Relative ones count from"
        " chdir.",
        flags=("--pythonpath",),
    ),
    Setting(
        "accesslog",
        LOGGING,
        STR,
        None,
        "The file for the access log; - is standard output",
        "Not set, there is none.",
        flags=("--access-logfile",),
        meta="FILE",
        default_text="none",
    ),
    Setting(
        "access_log_format",
        LOGGING,
        STR,
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "The format of a line of the access log",
        "h address, l -, u user, t time, r request line, m method, U path, q query, H protocol,"
        " s status, B bytes, b bytes or -, f referer, a user agent, T seconds, M milliseconds,"
        " D microseconds, L decimal seconds, p <pid>; {name}i a request field, {name}o a response"
        " field, {name}e a variable of the environ.",
        flags=("--access-logformat",),
    ),
    Setting(
        "errorlog",
        LOGGING,
        STR,
        "-",
        "The file for the error log; - is standard error",
        flags=("--error-logfile", "--log-file"),
        meta="FILE",
    ),
    Setting(
        "loglevel",
        LOGGING,
        STR,
        "info",
        "The least severe messages in the error log",
        "debug, info, warning, error or critical.",
        flags=("--log-level",),
        meta="LEVEL",
        choices=("debug", "info", "warning", "error", "critical"),
    ),
)

#: name -> row, in the order of the table.
SETTINGS = {row.name: row for row in _ROWS}
