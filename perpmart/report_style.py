"""The report's style sheet."""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f8fafc; color: #0f172a;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
header { margin-bottom: 28px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.02em; }
h2 { font-size: 18px; margin: 44px 0 10px; letter-spacing: -0.01em; }
p { margin: 4px 0 12px; color: #475569; max-width: 75ch; }
.span { font-size: 16px; font-variant-numeric: tabular-nums; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.facts div, figure, .scroll { background: #fff; border: 1px solid #e2e8f0; border-radius: 12px; }
.facts div { padding: 14px 18px; }
.facts b { display: block; font-size: 24px; line-height: 1.3; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.facts span { color: #64748b; font-size: 13px; }
figure { margin: 0 0 14px; padding: 16px; }
figure svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 16px; text-align: left; border-bottom: 1px solid #f1f5f9; white-space: nowrap; }
th { color: #64748b; font-weight: 600; font-size: 12px; text-transform: uppercase; letter-spacing: 0.04em; }
tr:last-child td { border-bottom: 0; }
td:last-child:not(.number) { white-space: normal; min-width: 16ch; }
th.number, td.number { text-align: right; }
.verdict { font-size: 17px; color: #0f172a; max-width: 90ch; }
.alarm { background: #fef2f2; border: 1px solid #fca5a5; border-radius: 12px; padding: 12px 18px;
  color: #991b1b; }
footer { margin-top: 48px; color: #94a3b8; font-size: 13px; }
@media print { body { background: #fff; } figure, .scroll, .facts div { break-inside: avoid; } }
"""
