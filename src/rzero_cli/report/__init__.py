"""The report of a run as a page, as Markdown and as a picture.

| module       | input                | output                                               |
|--------------|----------------------|------------------------------------------------------|
| `content`    | a run's folder       | sections: sentences, charts, tables, sources         |
| `examples`   | `labeled.jsonl`      | metrics, clusters, examples                          |
| `training`   | `log.jsonl`          | charts over the updates                              |
| `parts`      |                      | the types that sections consist of                   |
| `drawing`    | a chart              | its SVG, by matplotlib                               |
| `page`       | sections             | one HTML file (`page.html.jinja`, `loop.svg.jinja`)  |
| `markdown`   | sections             | Markdown (`report.md.jinja`) with separate SVG files |
| `picture`    | a summary            | `summary.png`, `summary.svg`                         |

Files in a run's folder may be missing, damaged or hostile. An unreadable file affects only its own
section, and generated text is truncated (`parts.shown`) and escaped.
"""
