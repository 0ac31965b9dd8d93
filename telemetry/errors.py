"""What can go wrong with what a user gave us. The command line prints the message and exits 2; a library user catches it.

MeshsloError
  BadInputError       a file, message or table that cannot be read
  BadConfigError      a setting that is unknown, out of range or contradicts another
  StoreError          a directory that is no store, or a store that cannot be used now
  SourceError         a server that did not answer as it should
"""


class MeshsloError(Exception):
    """Base of all; the message names the input, the place in it and the way out."""


class BadInputError(MeshsloError):
    """A file, message or table that cannot be read."""


class BadConfigError(MeshsloError):
    """A setting that is unknown, out of range or contradicts another."""


class StoreError(MeshsloError):
    """A directory that is no store, or a store that cannot be used now."""


class SourceError(MeshsloError):
    """A server that did not answer as it should."""
