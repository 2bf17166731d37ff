// load, report: the look of the page, in light and dark. Text has a contrast of at least 4.5 to 1 in both.

export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #57606a; --paper: #ffffff; --panel: #f6f8fa; --rule: #d0d7de;
  --good: #116329; --bad: #b3261e; --c1: #0550ae; --c2: #953800; --c3: #116329; --c4: #6639ba; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9da7b3; --paper: #0d1117; --panel: #161b22;
  --rule: #30363d; --good: #56d364; --bad: #ff8a80; --c1: #79b8ff; --c2: #ffa657; --c3: #56d364; --c4: #d2a8ff; } }
body { margin: 0 auto; max-width: 1100px; padding: 24px 16px 64px; background: var(--paper); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p { margin: 4px 0; } .quiet { color: var(--quiet); }
.verdict { display: inline-block; padding: 2px 10px; border: 1px solid currentcolor; border-radius: 4px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--rule); text-align: right; }
th:first-child, td:first-child, .words td { text-align: left; }
th { color: var(--quiet); font-weight: 600; }
figure { margin: 16px 0; padding: 10px 12px; background: var(--panel); border-radius: 6px; }
figcaption { font-weight: 600; margin-bottom: 4px; }
svg { width: 100%; height: auto; display: block; }
.key { font-weight: 400; margin-left: 12px; } .key::before { content: ""; display: inline-block; width: 10px; height: 10px;
  border-radius: 2px; background: currentcolor; margin-right: 5px; }
.c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); }
.line { fill: none; stroke: currentcolor; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; }
.grid { stroke: var(--rule); } .axis { fill: var(--quiet); font-size: 11px; }
.band.even { fill: transparent; } .band.odd { fill: var(--rule); fill-opacity: 0.35; }
`;
