"""What another version of nft makes of our chains when it shows them.

Reading back is proven against nft 1.0.6 and 1.1.3. Should some other version show a chain in a way that never equals
what was written, the difference would look like damage, and repairing it would never end. So when our own commit reads
back differently, twice running and each time the same, that reading counts as what was written. Twice, because once
may as well have been somebody who edited the chain between our commit and our reading.
"""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from dockerv6.firewall.ruleset import Ruleset

if TYPE_CHECKING:
    from dockerv6.firewall.expr import Chain

logger = logging.getLogger(__name__)


class Spelling:
    """Learns readings and puts what was meant in their place."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._meant: dict[Chain, Chain] = {}
        self._suspected: dict[str, tuple[Chain, Chain]] = {}

    def corrected(self, observed: Ruleset) -> Ruleset:
        """The observation with every reading that is known to mean something else replaced."""
        if not self._meant:
            return observed
        return replace(observed, chains=tuple(self._meant.get(chain, chain) for chain in observed.chains))

    def learn(self, written: Ruleset, observed: Ruleset) -> None:
        """Compare what our commit wrote with what was read right after it."""
        for chain in written.chains:
            reading = observed.chain(chain.name)
            if reading is None or reading == chain:
                self._suspected.pop(chain.name, None)
            elif self._suspected.get(chain.name) == (chain, reading):
                self._meant[reading] = chain
                logger.warning(
                    "this nft shows chain %s differently from how it was written; taken as the same: %s",
                    chain.name,
                    "; ".join(str(rule) for rule in reading.rules),
                )
            else:
                self._suspected[chain.name] = (chain, reading)
