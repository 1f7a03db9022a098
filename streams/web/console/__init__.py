"""The console: web pages for people on call, rendered on the server, over the operations of the command line.

| module | its one job |
|---|---|
| `application.py` | from a request to an answer: guard, session, route, page, errors in words |
| `guard.py`, `sessions.py` | which hosts and origins may ask, and who it is that asks |
| `routes.py` | which page an address leads to, and what right it needs |
| `desk.py` | what pages are given: settings, the newest snapshot, and ways to ask Kafka |
| `watch.py` | looks at Kafka again and again beside the pages |
| `history.py`, `prometheus.py` | where charts come from: samples that are kept here, or Prometheus |
| `client_threads.py`, `works.py` | threads that ask Kafka; work that takes longer than a page, with progress |
| `live.py` | tells open pages that something changed |
| `failures.py` | errors in words, with the HTTP status of each |
| `html.py`, `charts.py` | templates and their filters; pictures as SVG |
| `pages/` | one module for each noun |
"""
