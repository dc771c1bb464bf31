"""Labels out to other tools, and corrected labels back in."""

from hitl.labelling.exchange.errors import ExchangeError, NothingChangedError
from hitl.labelling.exchange.export import Exported, export
from hitl.labelling.exchange.importing import Imported, import_labels
from hitl.labelling.requests import ImportRequest, Verified

__all__ = [
    "ExchangeError",
    "Exported",
    "ImportRequest",
    "Imported",
    "NothingChangedError",
    "Verified",
    "export",
    "import_labels",
]
