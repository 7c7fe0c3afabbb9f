-- SPDX-License-Identifier: MIT
-- A browser's request through a proxy: ten header fields.
wrk.path = "/headers"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Cookie"] = "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234"
wrk.headers["Referer"] = "https://www.example.com/catalogue?page=3"
wrk.headers["X-Forwarded-For"] = "203.0.113.7"
wrk.headers["X-Request-Id"] = "7b2f3c1e-6a55-4f0e-9f0d-0a3a5a1d9e11"
wrk.headers["Cache-Control"] = "max-age=0"
