"""The version of this distribution, in one place for the package and its user agent."""

__version__ = "0.1.0"
