"""papermill's own engine, saving the executed copy every few seconds at most, in place of twice a cell."""

from __future__ import annotations

from typing import Any

from papermill.engines import NBClientEngine, papermill_engines

ENGINE = "ecgscan"
SAVE_EVERY_S = 5.0
"""A copy with figures takes 20 to 100 ms to write: two a cell are a tenth of a short notebook's time."""


class SeldomSavingEngine(NBClientEngine):
    """Runs the cells as papermill does. The copy is saved where a cell begins, ends or says something, if it is due."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        """Run all cells; whatever ends them, papermill then saves the whole copy."""
        save = nb_man.save

        def save_if_due(**given: Any) -> None:
            if (nb_man.now() - nb_man.last_save_time).total_seconds() >= SAVE_EVERY_S:
                save(**given)

        nb_man.save = save_if_due
        try:
            super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
        finally:
            del nb_man.save  # papermill's own is there again, and keeps nothing alive


papermill_engines.register(ENGINE, SeldomSavingEngine)
