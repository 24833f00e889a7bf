"""What was recorded, asked as questions: from frames to columns, from rows to answers.

| module | what it does |
|---|---|
| `columns` | the columns of a derived file; where an attribute stands |
| `values` | attribute values into typed maps, and back into JSON values |
| `opening` | a sealed segment, checked against its signed statement |
| `derive` | the frames of a segment as a table of spans |
| `maps` | attributes out of their maps into columns of their own, and back |
| `arrange` | how spans lie in a file so that questions are fast |
| `traces` | where in a file the spans of a trace lie |
| `origin` | what a derived file says of itself; when two have the same content |
| `generations` | which segments share a derived file |
| `conditions` | a question as a condition in SQL |
| `clickhouse` | the same, and the columns, as ClickHouse writes them |
| `predicates` | an expression of a rule as SQL: true, false, NULL, or unsure |
| `verdicts` | what a rule says of each span of a file, with dates and exceptions |
| `patterns`, `windows` | what a rule about the order of spans says of each unit |
| `comparison` | two versions of the rules, ready to judge |
| `fields` | the fields of a span, in the columns of a file |
| `operators`, `conversions` | CEL's operators and functions on such values |
| `typed` | a value that may be of several kinds |
| `dialects` | the words of each engine |
| `flat_proto` | OTLP's messages as one `.proto`, for a reader that is not ours |
| `tally` | recorded and derived spans summed up, to be compared |
| `agreement` | two engines asked, one answer where they agree |
| `rows` | a row as a record |
| `waterfall` | the spans of a trace as the rows of a tree in time |
| `wording` | words and marks, the same in every drawing of a trace |
| `selection` | which recorded spans are meant, and the frames they lie in |
| `otlp_file` | recorded requests as OTLP files |
| `otlp_reading` | OTLP files as requests, checked as the recorder does |
| `jaeger` | spans as Jaeger's user interface reads them |
| `imports` | whether a file of telemetry may become evidence of a trial |

A derived file can always be made again; deleting it loses nothing. Files, engines and
processes are the business of `sandbox.adapters.spans_*`.
"""

from sandbox.query.agreement import ask_both, checked_by
from sandbox.query.arrange import Arranged, arrange, promoted
from sandbox.query.columns import Place, core_schema
from sandbox.query.conditions import condition
from sandbox.query.derive import derive, verdicts_of
from sandbox.query.generations import Range, wanted_files
from sandbox.query.jaeger import jaeger_file
from sandbox.query.maps import put_back
from sandbox.query.opening import open_segment, read_segment_statement
from sandbox.query.origin import (
    Origin,
    Source,
    metadata_of,
    origin_of,
    read_origin,
    read_traces,
    same_content,
)
from sandbox.query.otlp_file import delimited, json_line, payload_of
from sandbox.query.otlp_reading import (
    BadRequest,
    FileRequest,
    read_delimited,
    read_json_lines,
)
from sandbox.query.rows import recorded_span
from sandbox.query.selection import Chosen, Places, choose, places_in
from sandbox.query.traces import TraceIndex, index_traces
from sandbox.query.waterfall import Waterfall, WaterfallRow, waterfall

__all__ = [
    "Arranged",
    "BadRequest",
    "Chosen",
    "FileRequest",
    "Origin",
    "Place",
    "Places",
    "Range",
    "Source",
    "TraceIndex",
    "Waterfall",
    "WaterfallRow",
    "arrange",
    "ask_both",
    "checked_by",
    "choose",
    "condition",
    "core_schema",
    "delimited",
    "derive",
    "index_traces",
    "jaeger_file",
    "json_line",
    "metadata_of",
    "open_segment",
    "origin_of",
    "payload_of",
    "places_in",
    "promoted",
    "put_back",
    "read_delimited",
    "read_json_lines",
    "read_origin",
    "read_segment_statement",
    "read_traces",
    "recorded_span",
    "same_content",
    "verdicts_of",
    "wanted_files",
    "waterfall",
]
