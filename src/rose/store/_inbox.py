"""Bring orders to a driver, and its answers back; what people order is in `orders`."""

from __future__ import annotations

import time
from collections.abc import Callable

from rose.store.events import Event, OrderObeyed, OrderRefused
from rose.store.journal import Journal
from rose.store.orders import OBEYED, REFUSED, PlacedOrder, Stop, placed_order
from rose.store.records import OrderRecord


class OrderInbox:
    """Hold the orders of one driver's life.

    Args:
        journal: where they are placed and answered.
        emit: records that one was answered, and tells of it.
    """

    def __init__(self, journal: Journal, emit: Callable[[Event], None]) -> None:
        self._journal = journal
        self._emit = emit
        self._since = time.time()
        self._waiting: dict[int, OrderRecord] = {}

    def listen(self, callback: Callable[[PlacedOrder], object]) -> None:
        """Have `callback` called in this event loop with each order that waits, within a second.

        Who wanted an earlier driver to stop is refused; and what this version does not know.
        """

        def arrived(records: list[OrderRecord]) -> None:
            for record in records:
                self._waiting[record.seq] = record
                placed = placed_order(record)
                if placed.order is None:
                    self.answer(placed.id, False, f"this version of ROSE knows no order {record.kind!r}")
                elif isinstance(placed.order, Stop) and record.time < self._since:
                    self.answer(placed.id, False, "the driver that it was meant for had ended before it knew of it")
                else:
                    callback(placed)

        self._journal.on_orders(arrived)

    def answer(self, order: int, obeyed: bool, text: str) -> None:
        """Record what became of an order, by its number, with when and in words.

        Raises:
            KeyError: if no order of that number waits.
        """
        record = self._waiting.pop(order)
        if self._journal.failure is not None:  # nothing is recorded any more: the next driver is told of it again
            return
        state = OBEYED if obeyed else REFUSED
        self._journal.put(record._replace(state=state, answered=time.time(), answer=text))
        kind = OrderObeyed if obeyed else OrderRefused
        self._emit(kind(order, record.who, record.kind, record.workflow, text))
