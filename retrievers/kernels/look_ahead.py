"""What the scan asks memory for ahead of time: without it, the processor would wait for most of a scan's rows."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from retrievers.kernels.ir import I8, at, i64, prefetch

PREFETCH = 8192  # bytes ahead: what the fastest processors scan while memory answers
UNPACKED = 16384  # where rows are unpacked first: a window's are all wanted at once when it begins


class LookAhead:
    """Writes the parts of a scan that ask for rows before they are wanted.

    Args:
        b: writes the function.
        rows: address of all rows.
        row_bytes: bytes of a row.
        in_blocks: whether one decision is taken for all cache lines of a block, and not one for each.
        most: bytes that are asked for ahead of time, at most.
    """

    def __init__(self, b: ir.IRBuilder, rows: ir.Value, row_bytes: int, in_blocks: bool, most: int) -> None:
        self._b, self._rows, self._row_bytes, self._in_blocks = b, rows, row_bytes, in_blocks
        self._most = i64(most)

    def begin(self, start: ir.Value, end: ir.Value, following: ir.Value) -> None:
        """Settle what `prefetch` asks for while a window is scored: the rows after it, or those of the next one.

        Byte numbers of rows are token numbers times 128, a shift by 7 (avx2)::

            subq    %rsi, %r12
            shlq    $7, %r12                    # bytes of the window
            cmpq    $8192, %r12
            cmovgeq %rdx, %r12                  # how far to look ahead: its length, 8192 at most
            testq   %r10, %r10
            cmoveq  %rdx, %r12                  # or 8192 where the next window follows at once
        """
        b = self._b
        self._end, length = (b.mul(tokens, i64(self._row_bytes)) for tokens in (end, b.sub(end, start)))
        self._jump = b.mul(b.sub(following, end), i64(self._row_bytes))
        # Where the next window lies elsewhere, not further than this one is long: the next may be no longer, and
        # the rows that follow it in the file may belong to no window of this search.
        near = b.icmp_signed("<", length, self._most)
        elsewhere = b.icmp_signed("!=", self._jump, i64(0))
        self._reach = b.select(b.and_(near, elsewhere), length, self._most)

    def of_block(self, place: ir.Value) -> Callable[[ir.Value], None]:
        """Asks for the cache lines that are wanted some time after those of a block, by their distance from it.

        A block that is the last of its window but for a few lines asks for lines after the window in their place. No
        instruction besides those of `wanted`, and for each line (sdot)::

            prfm    pldl1keep, [x26]
        """
        b = self._b
        if not self._in_blocks:
            return lambda distance: prefetch(b, self.wanted(b.add(place, distance)))
        first = self.wanted(place)
        return lambda distance: prefetch(b, at(b, first, I8, distance))

    def wanted(self, place: ir.Value) -> ir.Value:
        """The address that is wanted some time after the byte at a place in all rows.

        Without a branch: a place after the window's end moves on to where the next window lies (avx2)::

            leaq            (%rdx,%r12), %r11   # the place, and how far to look ahead
            cmpq            %rsi, %r11          # at or after the end of the window?
            movq            %r10, %r11          # then so far to the next window
            cmovlq          %rdi, %r11          # else 0
            prefetcht0      (%r11,%rbx)
        """
        b = self._b
        ahead = b.add(place, self._reach)
        beyond = b.icmp_signed(">=", ahead, self._end)
        ahead = b.add(ahead, b.select(beyond, self._jump, i64(0)))
        return at(b, self._rows, I8, ahead)
