"""Who calls, and whether they may: before anything of a call is read.

The token comes as `authorization: Bearer TOKEN`. Whatever is wrong with it, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc

from tagwright_server.address import Network
from tagwright_server.domain.access import Caller, Needs, Rule, check
from tagwright_server.domain.credentials import Credentials
from tagwright_server.errors import ScopeMissing, TokenInvalid
from tagwright_server.transport.access import RULES
from tagwright_server.transport.peer import peer_of

_HEADER = "authorization"
_SCHEME = "bearer "
_FORWARDED = "x-forwarded-for"


class Gate:
    """Lets callers through by the table of rules."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        trusted_proxies: Sequence[Network] = (),
        rules: Mapping[str, Rule] = RULES,
    ) -> None:
        self._credentials = credentials
        self._trusted_proxies = tuple(trusted_proxies)
        self._rules = rules

    def admit(self, method: str, context: grpc.ServicerContext) -> tuple[str, Caller | None]:
        """Return where the call comes from, and who calls where the call needs someone.

        Raises TokenInvalid and ScopeMissing.
        """
        metadata = [(str(key), str(value)) for key, value in context.invocation_metadata() or ()]
        forwarded = [value for key, value in metadata if key == _FORWARDED]
        peer = peer_of(context.peer(), forwarded, self._trusted_proxies)
        rule = self._rules.get(method)
        if rule is not None and rule.needs is Needs.NOTHING:
            return peer, None
        caller = self._credentials.identify(_token(metadata), peer=peer)
        if rule is None:
            raise ScopeMissing("Nobody may make this call.")  # it is in no table: a fault of ours, and no way in
        check(rule, caller)
        return peer, caller

    def readmit(self, method: str, caller: Caller) -> Caller:
        """Return the caller as they are by now. Raises TokenInvalid and ScopeMissing."""
        now = self._credentials.renew(caller)
        check(self._rules[method], now)
        return now


def _token(metadata: Sequence[tuple[str, str]]) -> str:
    said = [value for key, value in metadata if key == _HEADER]
    if len(said) != 1 or said[0][: len(_SCHEME)].lower() != _SCHEME:
        raise TokenInvalid
    return said[0][len(_SCHEME) :].strip()
