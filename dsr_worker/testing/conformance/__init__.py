"""One suite for every connector, ours and others': subclass it, bring an adapter, run pytest.

In: an `Adapter` that puts a `World` into the connector's system and dumps it by other means. Out:
test methods. A connector with every protocol::

    class TestMine(Conformance):
        def make(self, world: World) -> Adapter: ...

One with fewer joins the parts it has: `class TestMine(ContactsPart, ErasesPart)`. A protocol that
is implemented without its part, or the other way round, is a failure: nothing is left out in
silence. A system that holds no tables overrides `world` with the same facts in its own shape, and
declares there what its kind of store cannot have (`World.lone_keys`). Needs pytest and nothing
else; the connector's own faults (a lost connection, a throttled API) stay the author's to test.
"""

from dsr_worker.testing.conformance.basics import Basics
from dsr_worker.testing.conformance.effects import ErasesPart, RechecksPart, SweepsPart
from dsr_worker.testing.conformance.reading import (
    AffectedPart,
    BlocksPart,
    ContactsPart,
    MentionsPart,
    ResidencesPart,
    ResolvesPart,
)
from dsr_worker.testing.conformance.rights import RectifiesPart, RestrictsPart
from dsr_worker.testing.conformance.rights_world import RightsWorld, rights_world
from dsr_worker.testing.conformance.standing import StandingPart
from dsr_worker.testing.conformance.trial import Adapter, Crash, DyingContext, HeldSinceContext
from dsr_worker.testing.conformance.units import ChangesInUnitsPart, OnePassPart, UnitsPart
from dsr_worker.testing.conformance.world import Where, World, large_world, standard_world


class Conformance(
    ContactsPart,
    ResolvesPart,
    ResidencesPart,
    MentionsPart,
    AffectedPart,
    RechecksPart,
    SweepsPart,
):
    """The parts for most stores.

    Others join where a store has it: blocks, rights, units and passes, standing rules.
    """


__all__ = [
    "Adapter",
    "AffectedPart",
    "Basics",
    "BlocksPart",
    "ChangesInUnitsPart",
    "Conformance",
    "ContactsPart",
    "Crash",
    "DyingContext",
    "ErasesPart",
    "HeldSinceContext",
    "MentionsPart",
    "OnePassPart",
    "RechecksPart",
    "RectifiesPart",
    "ResidencesPart",
    "ResolvesPart",
    "RestrictsPart",
    "RightsWorld",
    "StandingPart",
    "SweepsPart",
    "UnitsPart",
    "Where",
    "World",
    "large_world",
    "rights_world",
    "standard_world",
]
