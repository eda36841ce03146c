"""UCI Online Retail and Online Retail II: the lines of a shop's invoices, as .xlsx or CSV.

InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country

One file is both: a line is an interaction, and the items are made of what the lines say. Lines
that are no purchase of a product by somebody are left out and counted: cancelled invoices (`C…`),
corrections, quantities and prices that are not above 0, lines without a customer, and codes of
postage, charges, samples and vouchers (a product is five digits with up to two letters, such as
85123A). A product's text is its most frequent description, of equally frequent ones the longest.
Chen, Sain and Guo, J. Database Marketing and Customer Strategy Management 19(3), 2012.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import DataError
from dualtower_trainer.data.columns import Role, choose_columns
from dualtower_trainer.data.formats.opened import Adapted, FormatOptions, Opened
from dualtower_trainer.data.formats.workbook import excel_seconds, uses_1904, workbook_rows
from dualtower_trainer.data.record import Record
from dualtower_trainer.data.records import Source, name_suffix, open_source
from dualtower_trainer.data.text_lines import file_head
from dualtower_trainer.data.timestamps import timestamp_parser

__all__ = ["open_online_retail"]

_ROLES = (
    Role("invoice", ("InvoiceNo", "Invoice"), required=True),
    Role("code", ("StockCode",), required=True),
    Role("description", ("Description",), required=True),
    Role("quantity", ("Quantity",), required=True),
    Role("date", ("InvoiceDate",), required=True),
    Role("price", ("UnitPrice", "Price"), required=True),
    Role("customer", ("CustomerID", "Customer ID"), required=True),
)
_PRODUCT = re.compile(r"\d{5}[A-Z]{0,2}")
_NUMBER = re.compile(r"-?\d+(\.\d*)?(E[+-]?\d+)?", re.IGNORECASE)
_CSV_TIME = "%m/%d/%Y %H:%M"  # as the UCI file reads when Excel writes it as CSV


@dataclass(frozen=True)
class _Line:
    """A line of an invoice, cleaned: `reason` says why it is no interaction."""

    customer: str
    code: str
    description: str
    seconds: str
    reason: str


def open_online_retail(interactions: Path, items: Path, options: FormatOptions) -> Opened:
    """Invoice lines as interactions, and their products as items."""
    for path in {interactions, items}:
        file_head(path, ".xlsx or CSV")
    left_out: Counter[str] = Counter()
    return Opened(
        Adapted(
            interactions,
            ("user_id", "item_id", "timestamp"),
            lambda: _purchases(interactions, options, left_out),
        ),
        Adapted(items, ("item_id", "text"), lambda: _products(items, options)),
        left_out=left_out,
    )


def _purchases(path: Path, options: FormatOptions, left_out: Counter[str]) -> Iterator[Record]:
    left_out.clear()
    for record, line in _lines(path, options):
        if record.problem or line is None:
            yield record
        elif line.reason:
            left_out[line.reason] += 1
        else:
            yield record._replace(fields=[line.customer, line.code, line.seconds])


def _products(path: Path, options: FormatOptions) -> Iterator[Record]:
    """One row per product that somebody bought, in the order of the codes.

    Bad lines are handed on with the purchases, and here only where there is nothing else.

    Raises:
        DataError: the file has good lines, and none of them is a purchase.
    """
    reasons: Counter[str] = Counter()
    descriptions: dict[str, Counter[str]] = defaultdict(Counter)
    first: dict[str, int] = {}
    for record, line in _lines(path, options):
        if line is not None and line.reason:
            reasons[line.reason] += 1
        elif line is not None:
            first.setdefault(line.code, record.line)
            descriptions[line.code][line.description] += 1
    if not descriptions and reasons:
        counts = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        raise DataError(f"no line of {path} is somebody's purchase of a product ({counts})")
    if not descriptions:
        yield from (record for record, _ in _lines(path, options) if record.problem)
    for code in sorted(descriptions):
        named = [(count, len(text), text) for text, count in descriptions[code].items() if text]
        text = max(named)[2] if named else ""
        yield Record(first[code], [code, text], "", f"{code}, of {len(descriptions[code])} texts")


def _lines(path: Path, options: FormatOptions) -> Iterator[tuple[Record, _Line | None]]:
    """Every line below a header, cleaned, or with its problem."""
    is_workbook = _is_workbook(path)
    from_1904 = is_workbook and uses_1904(path)
    parse = timestamp_parser(options.timestamp_format)
    parse_csv = timestamp_parser(_CSV_TIME)
    for record in _raw_rows(path, options):
        if record.problem:
            yield record, None
            continue
        invoice, code, description, quantity, date, price, customer = map(str.strip, record.fields)
        if not (_NUMBER.fullmatch(quantity) and _NUMBER.fullmatch(price)):
            yield record._replace(problem="quantity or price is no number"), None
            continue
        try:
            if is_workbook and _NUMBER.fullmatch(date):
                seconds = excel_seconds(float(date), from_1904)
            elif options.timestamp_format is None and "/" in date:
                seconds = parse_csv(date)
            else:
                seconds = parse(date)
        except (ValueError, OverflowError):
            yield record._replace(problem="bad timestamp"), None
            continue
        code = code.upper()
        reason = _reason(invoice, code, float(quantity), float(price), customer)
        cleaned = " ".join(description.split())
        customer = customer.removesuffix(".0")
        yield record, _Line(customer, code, cleaned, str(seconds), reason)


def _reason(invoice: str, code: str, quantity: float, price: float, customer: str) -> str:
    """Why a line is no purchase of a product by somebody; "" when it is one."""
    if invoice[:1] in ("C", "c"):
        return "cancelled invoice"
    if not invoice.isdecimal():
        return "correction, not a sale"
    if not customer:
        return "no customer"
    if quantity <= 0:
        return "quantity is not above 0"
    if price <= 0:
        return "price is not above 0"
    if not _PRODUCT.fullmatch(code):
        return "code is no product"
    return ""


def _raw_rows(path: Path, options: FormatOptions) -> Iterator[Record]:
    """The wanted fields of every line, in the order of `_ROLES`."""
    if not _is_workbook(path):
        source = open_source(path, delimiter=options.delimiter, quotes=options.quotes, latin=True)
        yield from source.records(list(choose_columns(source, _ROLES, {}, "--map").values()))
        return
    places: list[int] = []
    sheet = ""
    for name, number, cells in workbook_rows(path):
        if name != sheet:
            sheet, width = name, len(cells)
            header = Source(path, tuple(cell.strip() for cell in cells), None, True)
            chosen = choose_columns(header, _ROLES, {}, "--map")
            places = [header.columns.index(column) for column in chosen.values()]
            continue
        cells += [""] * (width - len(cells))
        yield Record(number, [cells[place] for place in places], "", "\t".join(cells))


def _is_workbook(path: Path) -> bool:
    return name_suffix(path) == ".xlsx"
