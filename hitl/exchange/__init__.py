"""Labels out to other tools, and corrected labels back in."""

from hitl.exchange.errors import ExchangeError, NothingChangedError
from hitl.exchange.export import Exported, export
from hitl.exchange.importing import Imported, ImportRequest, Verified, import_labels
from hitl.exchange.writing import Format

__all__ = [
    "ExchangeError",
    "Exported",
    "Format",
    "ImportRequest",
    "Imported",
    "NothingChangedError",
    "Verified",
    "export",
    "import_labels",
]
