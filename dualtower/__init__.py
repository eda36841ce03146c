"""dualtower: a contrastive BERT dual tower, from a log of clicks to a live service.

This package is the contract that the others share: the bundle, its fingerprint, the errors, the
configuration and the command. It needs the standard library and click, nothing else.
"""

from dualtower.bundle import Bundle, fingerprint_of
from dualtower.bundle_verify import Problem, verify
from dualtower.errors import (
    BundleError,
    BundleMismatch,
    ConfigError,
    DataError,
    DualtowerError,
    GateFailed,
    UnavailableError,
    UsageError,
)

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "BundleError",
    "BundleMismatch",
    "ConfigError",
    "DataError",
    "DualtowerError",
    "GateFailed",
    "Problem",
    "UnavailableError",
    "UsageError",
    "__version__",
    "fingerprint_of",
    "verify",
]
