"""Graphics cards that are not here: their memory and speed, as their maker states them.

Of a GeForce with bfloat16 (Ampere, Ada, Blackwell) the rate is that of tensor cores which add up in float32: four
operations a core and clock, so twice the float32 rate. The rates of other cards are without sparsity, of those
with the fastest connection (SXM). What a card reaches depends on its maker's clock, too.

Checked on 2026-11-29 against what others quote, as no document of the maker itself was open to us. Quoted from the
maker's tables and data sheets:

- RTX 3090, 4090 and 5090: NVIDIA RTX Blackwell GPU Architecture, table 3 (71.2, 165.2 and 209.5); RTX 5070: the same,
  appendix C (61.7);
- RTX 3070: NVIDIA Ampere GA102 GPU Architecture (81.3 where float16 is added up in float16, so half of it here);
- RTX 2080 Ti: NVIDIA Turing GPU Architecture, table 1 (13.4, at the reference clock);
- V100 and A100: NVIDIA A100 Tensor Core GPU Architecture (15.7 and 312);
- T4, L4, L40S and H100: their data sheets (8.1; 242 with sparsity; 362.05; 1,979 with sparsity, PCIe 1,513).

Quoted by the press from its announcements:

- RTX 3060 and 3080: 101 and 238 "tensor TFLOPS", in float16 added up in float16 with sparsity, so a quarter of it here;
- RTX 5080: 1,801 "AI TOPS", in four bits with sparsity, so a sixteenth here (so it is of the 5090's 3,352, too);
- RTX 2060: 6.5.

Nothing of the maker was found for four cards. Databases list float32 rates of 15.1, 29.1 and 48.7 for the RTX 4060,
4070 and 4080, whose rates here are twice those, and 5.03 for the GTX 1660. The rates of all GeForce with bfloat16
agree with their cores and boost clocks, too (a test).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ..core.errors import RespoError

# The share of the stated speed that training reaches. An assumption: between a third and a half is usual.
REACHED = 0.4


@dataclass(frozen=True)
class Card:
    """`gb`: memory. `tflops`: of dense matrix products in bfloat16, or in float32 where there is no bfloat16."""

    gb: int
    tflops: float
    bfloat16: bool = True


CARDS = {
    "GTX 1660": Card(6, 5.0, bfloat16=False),
    "RTX 2060": Card(6, 6.5, bfloat16=False),
    "RTX 2080 Ti": Card(11, 13.4, bfloat16=False),
    "T4": Card(16, 8.1, bfloat16=False),
    "V100": Card(16, 15.7, bfloat16=False),  # SXM; with PCIe 14
    "RTX 3060": Card(12, 25),
    "RTX 3070": Card(8, 41),
    "RTX 3080": Card(10, 60),
    "RTX 3090": Card(24, 71),
    "RTX 4060": Card(8, 30),
    "RTX 4070": Card(12, 58),
    "RTX 4080": Card(16, 97),
    "RTX 4090": Card(24, 165),
    "RTX 5070": Card(12, 62),
    "RTX 5080": Card(16, 113),
    "RTX 5090": Card(32, 210),
    "L4": Card(24, 121),
    "L40S": Card(48, 362),
    "A100": Card(40, 312),
    "H100": Card(80, 989),  # SXM; with PCIe 756
}


def card_named(name: str) -> tuple[str, Card]:
    """Return a card by its name, in any case. Raises RespoError, which lists them."""
    known = {key.lower(): key for key in CARDS}
    if name.lower() in known:
        key = known[name.lower()]
        return key, CARDS[key]
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0)[0]
    raise RespoError(f"no card {name!r}; did you mean {known[nearest]!r}? Known: {', '.join(CARDS)}")
