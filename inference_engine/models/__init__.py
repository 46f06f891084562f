"""Where models come from: stores that bring a label's model into a server's repository, and the sources that they copy from."""

from .sources import FolderSource, ModelSource, ObjectInfo, ObjectSource, PrefixSource, SourceFile
from .store import DiskStore, FolderStore, ModelStore, S3Store, StoredModel

__all__ = [
    "DiskStore",
    "FolderSource",
    "FolderStore",
    "ModelSource",
    "ModelStore",
    "ObjectInfo",
    "ObjectSource",
    "PrefixSource",
    "S3Store",
    "SourceFile",
    "StoredModel",
]
