"""Models as files of other programs' formats."""

from lamina.export.model import FORMATS, export_model

__all__ = ["FORMATS", "export_model"]
