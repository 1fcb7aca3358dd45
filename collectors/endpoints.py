"""The REST endpoints that are asked: path, ccxt's name of it, the pool that a request counts under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.limits import Pool
from collectors.parse import RATIO_ENDPOINTS

Params = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One REST endpoint.

    Attributes
    ----------
    path : str
        As the exchange writes it.
    method : str
        Name of ccxt's implicit method.
    pool : Pool
        What a request is counted under.
    """

    path: str
    method: str
    pool: Pool = Pool.WEIGHT


TIME = Endpoint("/fapi/v1/time", "fapiPublicGetTime")
EXCHANGE_INFO = Endpoint("/fapi/v1/exchangeInfo", "fapiPublicGetExchangeInfo")
KLINES = Endpoint("/fapi/v1/klines", "fapiPublicGetKlines")
MARK_KLINES = Endpoint("/fapi/v1/markPriceKlines", "fapiPublicGetMarkPriceKlines")
INDEX_KLINES = Endpoint("/fapi/v1/indexPriceKlines", "fapiPublicGetIndexPriceKlines")
DEPTH = Endpoint("/fapi/v1/depth", "fapiPublicGetDepth")
PREMIUM_INDEX = Endpoint("/fapi/v1/premiumIndex", "fapiPublicGetPremiumIndex")
FUNDING_RATE = Endpoint("/fapi/v1/fundingRate", "fapiPublicGetFundingRate", Pool.FUNDING)
FUNDING_INFO = Endpoint("/fapi/v1/fundingInfo", "fapiPublicGetFundingInfo", Pool.FUNDING)
OPEN_INTEREST = Endpoint("/futures/data/openInterestHist", "fapiDataGetOpenInterestHist", Pool.STATISTICS)
_RATIO_METHODS = {
    "global_account": "fapiDataGetGlobalLongShortAccountRatio",
    "top_account": "fapiDataGetTopLongShortAccountRatio",
    "top_position": "fapiDataGetTopLongShortPositionRatio",
    "taker_volume": "fapiDataGetTakerlongshortRatio",
}
RATIOS = {
    ratio_type: Endpoint(RATIO_ENDPOINTS[ratio_type], method, Pool.STATISTICS)
    for ratio_type, method in _RATIO_METHODS.items()
}
