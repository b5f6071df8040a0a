"""A run as a page, for somebody who was not there.

| module       | from                 | to                                                    |
|--------------|----------------------|-------------------------------------------------------|
| `content`    | a run's folder       | sections: sentences, charts, tables, where it is from |
| `examples`   | `labeled.jsonl`      | metrics, clusters, examples                           |
| `training`   | `log.jsonl`          | what happened over the updates                        |
| `parts`      |                      | what sections are made of                             |
| `drawing`    | a chart              | its SVG, by matplotlib                                |
| `page`       | sections             | one HTML file (`page.html.jinja`, `loop.svg.jinja`)   |
| `markdown`   | sections             | Markdown (`report.md.jinja`), and SVG files beside it |
| `picture`    | a summary            | `summary.png`, `summary.svg`                          |

Nothing in a run's folder is trusted to be there, whole, or harmless: what cannot be read costs its
own part of the page, and text that a model wrote is cut (`parts.shown`) and escaped.
"""
