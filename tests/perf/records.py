"""What has been measured so far: kept line by line as it comes, and written as tables."""

import json
from itertools import groupby

# What a harvest on a GPU should reach, the second on LLaVA-OneVision.
TIMES_FASTER, SHARE = 8, 0.6
TABLES = {
    "harvest": (
        "Samples a second",
        f"model | input | tokens a prompt | papers' way | harvest | times faster (goal {TIMES_FASTER}) | "
        f"harvest, start included | without workers | limit | share of it (goal {SHARE:.0%} on LLaVA-OneVision)",
    ),
    "device": (
        "What the device does",
        "model | input | model alone | share of the product rate | idle, model alone | idle, harvest | "
        "one process prepares | memory, papers' way | memory, N | memory, 2N | N",
    ),
    "ablation": (
        "One setting changed, inputs ready",
        "model | input | setting | samples/s | share of the product rate | memory | halved",
    ),
    "rounding": (
        "Against samples run alone",
        "model | input | layout | least cosine | median cosine | changed heads of 20 | changed predictions",
    ),
}


class Records:
    """Records as they come: each is printed, kept as a line of a file, and in the tables from then on."""

    def __init__(self, log, document):
        self.log, self.document = log, document
        self.all, self.head = [], ""
        for path in (log, document):
            path.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")

    def add(self, table, model, given, **values):
        self.all.append({"table": table, "model": model, "input": given, **values})
        with self.log.open("a") as lines:
            lines.write(json.dumps(self.all[-1]) + "\n")
        print(f"{model}, {given}: {table} " + ", ".join(f"{k} {plain(v)}" for k, v in values.items()), flush=True)
        self.document.write_text(self.text())

    def text(self):
        return self.head + tables(self.all)

    def note(self, text):
        self.add("note", "", "", text=text)


def plain(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tables(records):
    """Return the tables of all records, and under them what could not be measured."""
    parts = []
    for table, (title, columns) in TABLES.items():
        rows = list(table_rows(table, records))
        if rows:
            ruler = "|".join("---" for _ in columns.split("|"))
            parts.append(f"\n## {title}\n\n| {columns} |\n|{ruler}|\n" + "\n".join(f"| {row} |" for row in rows) + "\n")
    notes = [record["text"] for record in records if record["table"] == "note"]
    if notes:
        parts.append("\n## Not measured\n\n" + "\n".join(f"- {note}" for note in notes) + "\n")
    return "".join(parts)


def table_rows(table, records):
    chosen = [record for record in records if record["table"] == table]
    if table in ("ablation", "rounding"):
        yield from (ROWS[table](record) for record in chosen)
        return
    pair = lambda record: (record["model"], record["input"])  # noqa: E731
    measured = [record for record in records if record["table"] in ("harvest", "device")]
    for _, group in groupby(measured, key=pair):  # what is known of one pair comes in several records
        merged = {name: value for record in group for name, value in record.items()}
        yield ROWS[table](merged)


def number(record, name, form="{:,.1f}", scale=1):
    return form.format(record[name] * scale) if name in record else "-"


def percent(record, name):
    return number(record, name, "{:.0f} %", 100)


def gigabytes(record, name):
    return number(record, name, "{:.2f} GB", 1e-9)


def ratio(record, above, below, form="{:.1f}"):
    return form.format(record[above] / record[below]) if above in record and below in record else "-"


def row(record, *cells):
    return " | ".join([record["model"], record["input"], *cells])


def harvest_row(record):
    return row(
        record,
        number(record, "tokens", "{:,.0f}"),
        number(record, "official"),
        number(record, "steady"),
        ratio(record, "steady", "official"),
        number(record, "speed"),
        number(record, "workers_0"),
        number(record, "limit"),
        ratio(record, "steady", "limit", "{:.0%}"),
    )


def device_row(record):
    return row(
        record,
        number(record, "alone"),
        percent(record, "share"),
        percent(record, "idle"),
        percent(record, "idle_harvest"),
        number(record, "prepared"),
        gigabytes(record, "memory_official"),
        gigabytes(record, "memory"),
        gigabytes(record, "memory_double"),
        number(record, "samples", "{:,}"),
    )


def ablation_row(record):
    return row(
        record,
        record["setting"],
        number(record, "speed"),
        percent(record, "share"),
        gigabytes(record, "memory"),
        number(record, "halved", "{}"),
    )


def rounding_row(record):
    return row(
        record,
        record["layout"],
        number(record, "least", "{:.6f}"),
        number(record, "median", "{:.6f}"),
        number(record, "heads", "{}"),
        f"{record['flips']} of {record['predictions']}",
    )


ROWS = {"harvest": harvest_row, "device": device_row, "ablation": ablation_row, "rounding": rounding_row}
