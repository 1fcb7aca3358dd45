"""The checks' findings judged by Great Expectations, and shown in its Data Docs.

The database finds the rows that break a rule (it does so at any size); a frame then holds, for each series
of a table and each finding, what every check says there: ``ok`` or the finding. Great Expectations expects
``ok`` everywhere. So its verdict, its list of unexpected rows and its pages name table, symbol and time, and
no table ever has to fit into memory.
"""

from __future__ import annotations

import os
import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from collectors.quality import CheckResult, Validation
from collectors.quality_checks import Severity

if TYPE_CHECKING:
    import pandas as pd

SITE = "data_docs"
_INDEX = ["table", "symbol", "part", "time"]
_OK = "ok"
_SEVERITIES: dict[Severity, str] = {"fail": "critical", "warn": "warning"}


class Judgement(NamedTuple):
    """What Great Expectations says: names of the checks with unexpected rows, and its page."""

    unexpected: frozenset[str]
    page: Path


def judge(validation: Validation, folder: Path) -> Judgement:
    """Let Great Expectations judge the findings and write its Data Docs into ``folder/data_docs``.

    Parameters
    ----------
    validation : Validation
        What the checks found.
    folder : Path
        Data Docs of an earlier call in it are replaced.

    Returns
    -------
    Judgement
        Checks that it calls unmet: those with findings.
    """
    # Before the import: the library reports its use to its maker unless it is told not to.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx  # several seconds: only who wants the pages pays
    from great_expectations.checkpoint.actions import UpdateDataDocsAction

    site = folder / SITE
    shutil.rmtree(site, ignore_errors=True)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # its own form
    _add_site(context, site)
    suite = context.suites.add(gx.ExpectationSuite(name="raw"))
    for result in validation.results:
        suite.add_expectation(_expectation(gx, result))
    asset = context.data_sources.add_pandas("raw").add_dataframe_asset("findings")
    definition = gx.ValidationDefinition(
        name="raw", data=asset.add_batch_definition_whole_dataframe("all"), suite=suite
    )
    checkpoint = gx.Checkpoint(
        name="raw",
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[UpdateDataDocsAction(name="docs", site_names=[SITE])],
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": _INDEX},
    )
    outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": _frame(validation)})
    unexpected = {
        _column_of(one) for run in outcome.run_results.values() for one in run.results if not one.success
    }
    return Judgement(frozenset(unexpected), next((site / "validations").rglob("*.html")))


def _column_of(result: Any) -> str:
    return str(result.expectation_config.kwargs["column"])


def _add_site(context: Any, folder: Path) -> None:
    context.add_data_docs_site(
        site_name=SITE,
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    context.delete_data_docs_site("local_site")


def _expectation(gx: Any, result: CheckResult) -> Any:
    return gx.expectations.ExpectColumnValuesToBeInSet(
        column=result.check.name,
        value_set=[_OK],
        severity=_SEVERITIES[result.check.severity],
        notes=result.check.rule,
    )


def _frame(validation: Validation) -> pd.DataFrame:
    """A row for each series of a table and for each finding; a column for each check, empty elsewhere."""
    import pandas as pd

    checks: dict[str, dict[str, str | None]] = {}
    for result in validation.results:
        checks.setdefault(result.check.table, {})[result.check.name] = _OK
    # The pages show cells as they come, tags and all: what the market called itself must be made harmless.
    rows: list[dict[str, str | None]] = [
        {"table": table, "symbol": escape(symbol), "part": escape(part), "time": "", **checks[table]}
        for table, series in validation.series.items()
        for symbol, part in series or (("", ""),)
    ]
    for result in validation.results:
        clean, table = checks[result.check.table], result.check.table
        for finding in result.findings:
            place = {"table": table, "symbol": escape(finding.symbol), "part": escape(finding.part)}
            when = {"time": f"{finding.time:%Y-%m-%d %H:%M:%S}"}
            rows.append({**place, **when, **clean, result.check.name: escape(finding.found)})
    return pd.DataFrame(rows, dtype=object)
