"""Labels out to other tools, and corrected labels back in."""

from hitl.labelling.exchange.errors import ExchangeError, NothingChangedError
from hitl.labelling.exchange.export import Exported, export
from hitl.labelling.exchange.importing import Imported, ImportRequest, Verified, import_labels
from hitl.labelling.exchange.writing import Format

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
