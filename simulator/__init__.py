"""A local exchange that speaks Binance's REST protocol, from recorded files or a synthetic market."""
