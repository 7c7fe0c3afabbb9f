# SPDX-License-Identifier: MIT
"""Rows: where the server listens and how its workers live."""

from __future__ import annotations

from cgunicorn.settings.checks import check_binds, check_worker_class
from cgunicorn.settings.kinds import CLASS, INT, INT_OR_AUTO, LIST, STR
from cgunicorn.settings.row import CONFIG_FILE, SERVER_SOCKET, WORKER_PROCESSES, Setting

ROWS = (
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
        unlike="Only gunicorn.conf.py is looked for.",
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
        "HOST, HOST:PORT, :PORT, [IPV6]:PORT, unix:PATH or fd://N; with uwsgi:// or http:// in"
        " front only that protocol is taken, whatever `protocol` says. The environment variable"
        " PORT makes the default 0.0.0.0:$PORT.",
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
        INT_OR_AUTO,
        1,
        "The number of worker processes; auto: one for each CPU",
        "Two to four for each core is a good start. The environment variable WEB_CONCURRENCY sets"
        " the default. 0 counts as 1. `auto` counts the"
        " CPUs that this process may use: those in its affinity mask, or as many as the CPU quota"
        " of its control group comes to, rounded up, if that is less. So a container gets what it"
        " was given, not what the machine has. They are counted again at each reload.",
        flags=("-w", "--workers"),
        env="WEB_CONCURRENCY",
        most=1000,
        unlike="There is no upper limit, and no `auto`. 0 means a master alone.",
    ),
    Setting(
        "worker_class",
        WORKER_PROCESSES,
        CLASS,
        "sync",
        "The type of workers",
        "`sync` runs one request at a time in each worker; slow and idle clients are parked and"
        " hold nobody up. `async` keeps connections alive, runs the application in `threads`"
        " threads and goes on serving all other clients while they are busy; `gthread` is another"
        " name for it.",
        flags=("-k", "--worker-class"),
        check=check_worker_class,
        unlike=(
            "There are gevent, tornado and ASGI workers, and classes of one's own. They are"
            " refused here, with a sentence that says what to use."
        ),
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
        unlike="0 is accepted.",
    ),
    Setting(
        "max_streams",
        WORKER_PROCESSES,
        INT,
        32,
        "Streams that have threads of their own, beside `threads`",
        "A response of which a part has left, and which is not over a tenth of a second after its"
        " application was entered, is a stream: server-sent events, for instance. While its"
        " iterator runs it is given a thread beyond `threads`, so that other requests go on. So"
        " a worker may come to have `threads` and `max_streams` threads, which are started as they"
        " are needed. Streams beyond this number hold threads of the others, each until its next"
        " chunk. With one thread there are no others: the application is never called twice at"
        " once.",
        flags=("--max-streams",),
        least=0,
        most=10000,
    ),
    Setting(
        "worker_connections",
        WORKER_PROCESSES,
        INT,
        1000,
        "Clients that a worker may have connected at once",
        "A worker that has so many closes its longest idle one for a new one. While none is idle,"
        " it accepts no more.",
        flags=("--worker-connections",),
        least=1,
        unlike="0 is accepted.",
    ),
    Setting(
        "max_requests",
        WORKER_PROCESSES,
        INT,
        0,
        "Requests after which a worker is replaced; 0: never",
        "Against applications that leak memory. The worker serves until its successor is ready, so"
        " it may do some more.",
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
        "max_worker_lifetime",
        WORKER_PROCESSES,
        INT,
        0,
        "Seconds after which a worker is replaced; 0: never",
        "As max_requests, by age: counted from the fork.",
        flags=("--max-worker-lifetime",),
        unit="seconds",
    ),
    Setting(
        "max_worker_lifetime_jitter",
        WORKER_PROCESSES,
        INT,
        0,
        "At most so much is added to max_worker_lifetime, at random",
        "Each worker draws its own number, so that not all are replaced at the same time.",
        flags=("--max-worker-lifetime-jitter",),
        unit="seconds",
    ),
    Setting(
        "reload_on_rss",
        WORKER_PROCESSES,
        INT,
        0,
        "Resident memory at which a worker is replaced; 0: never",
        "As max_requests, by the resident memory of the worker process, in MiB, at which the"
        " arbiter looks once a second. What is shared with other processes counts too.",
        flags=("--reload-on-rss",),
        unit="MiB",
        most=2**20,
    ),
    Setting(
        "reload_on_rss_jitter",
        WORKER_PROCESSES,
        INT,
        0,
        "At most so much is added to reload_on_rss, at random",
        "Each worker draws its own number, so that not all are replaced at the same time.",
        flags=("--reload-on-rss-jitter",),
        unit="MiB",
        most=2**20,
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
        unlike=(
            "It is the time without a sign of life from the worker, which a request"
            " in a thread does not hold up, and it does not cover loading the application."
        ),
    ),
    Setting(
        "boot_timeout",
        WORKER_PROCESSES,
        INT,
        None,
        "Seconds that loading the application may take; 0: no limit",
        "A worker that is not ready by then is killed and replaced, with the stack of what it was"
        " loading in the log. While it is not set it is what timeout is, and 600 where timeout sets"
        " no limit.",
        flags=("--boot-timeout",),
        unit="seconds",
        default_text="as timeout",
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
        "rolling_reload",
        WORKER_PROCESSES,
        INT,
        0,
        "Workers that a reload replaces at a time; 0: all at once",
        "A smaller number needs less memory during the reload, since fewer workers of both"
        " generations live at the same time. A reload that changes bind replaces all at once.",
        flags=("--rolling-reload",),
        most=1000,
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
        unlike=(
            "The default is 2, shorter than most proxies keep connections, and the sync worker"
            " ignores it."
        ),
    ),
)
