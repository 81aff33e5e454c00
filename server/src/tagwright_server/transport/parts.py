"""What TaggingService calls."""

from __future__ import annotations

from dataclasses import dataclass

from tagwright_server.clock import Clock
from tagwright_server.domain.accounts import Accounts
from tagwright_server.domain.keeping import Keeper
from tagwright_server.domain.library import Library
from tagwright_server.domain.models import Models
from tagwright_server.domain.refining import Refining
from tagwright_server.domain.replies import Replies
from tagwright_server.domain.retagging import Retagging
from tagwright_server.domain.tagging import Tagger
from tagwright_server.domain.uploading import Uploads
from tagwright_server.domain.vocabulary import Vocabulary
from tagwright_server.inference.backend import Backend


@dataclass(frozen=True, slots=True)
class TaggingParts:
    """One of each."""

    tagger: Tagger
    keeper: Keeper
    uploads: Uploads
    library: Library
    vocabulary: Vocabulary
    refining: Refining
    retagging: Retagging
    accounts: Accounts
    replies: Replies
    models: Models
    backend: Backend
    clock: Clock
