"""Published data sets in their own files, read as rows with the project's columns.

    their files ──► an Opened pair of row sources ──► the same import as of the user's own files

Each module knows one data set; `open_format` picks it by name.
"""

from dualtower_trainer.data.formats.choice import FORMATS, open_format
from dualtower_trainer.data.formats.opened import FormatOptions, Opened

__all__ = ["FORMATS", "FormatOptions", "Opened", "open_format"]
