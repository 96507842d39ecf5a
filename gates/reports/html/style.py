"""The page's style sheet: one column on a phone, two where there is room; dark and light; for paper, light.

Colours have 4.5 to 1 as text and 3 to 1 as marks on both grounds (WCAG 2.2, 1.4.3 and 1.4.11), a browser test says so.
"""

CSS = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#f3f5f7;--rule:#c9d0d8;--muted:#525b66;--link:#0b57a4;
--one:#2f6fb0;--two:#b3541e;--three:#6b5ca5;--good:#1a7f4b;--bad:#b3261e;--open:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--paper:#14171a;--soft:#1f242a;--rule:#444c56;--muted:#a9b2bd;
--link:#8ab8f0;--one:#6aa7e8;--two:#f0935a;--three:#b3a3ef;--good:#4cc38a;--bad:#ff7b72;--open:#e3b341}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0 auto;padding:0 1rem 4rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.5rem;z-index:1}
h1{font-size:1.6rem;line-height:1.25;margin:1.5rem 0 .5rem}
h2{font-size:1.3rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:2px solid var(--rule)}
h3{font-size:1.1rem;margin:1.75rem 0 .5rem}h4{font-size:1rem;margin:0 0 .25rem}
p{margin:.4rem 0}.muted,small{color:var(--muted)}
.badge{display:inline-block;padding:.05rem .5rem;border:2px solid currentColor;border-radius:.4rem;font-weight:700;
font-size:.85rem;white-space:nowrap}
.pass,.allow{color:var(--good)}.fail,.error,.refuse{color:var(--bad)}.inconclusive,.waived{color:var(--open)}
.skipped{color:var(--muted)}
.glance,.checks{list-style:none;padding:0;margin:1rem 0;display:grid;gap:.75rem;
grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr))}
.glance>li,.checks>li{background:var(--soft);border:1px solid var(--rule);border-radius:.5rem;padding:.75rem}
.glance a{font-weight:600}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr));align-items:start}
figure{margin:1rem 0;max-width:34rem;min-width:0}figcaption{font-size:.9rem;color:var(--muted)}
svg{display:block;width:100%;height:auto;font:11px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;
color:var(--ink)}
svg text{fill:currentColor}svg .muted{fill:var(--muted)}svg .strong{font-weight:700}
.axis,.rule{stroke:var(--rule)}.axis{stroke:var(--muted)}.guide{stroke:var(--muted);stroke-dasharray:3 3}
.limit{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}.out{fill:var(--bad);opacity:.13}
.one{--c:var(--one)}.two{--c:var(--two)}.three{--c:var(--three)}.good{--c:var(--good)}
.bad{--c:var(--bad)}.open{--c:var(--open)}
.bar{fill:var(--c,var(--ink));opacity:.55}.dot{fill:var(--c,var(--ink))}.whisker{stroke:var(--c,var(--ink));stroke-width:2}
.curve{fill:none;stroke:var(--c);stroke-width:2}.curve.two{stroke-dasharray:6 3}.curve.thin{stroke-width:1}
.area{fill:var(--c)}.node{fill:var(--soft);stroke:var(--rule)}.arrow{fill:none;stroke:var(--muted);stroke-width:2}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0}
th,td{border-bottom:1px solid var(--rule);padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top;
overflow-wrap:normal;min-width:3rem}
td:nth-child(2):last-child{overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums}
.confusion td{position:relative;padding:.4rem .6rem;min-width:4.5rem}.confusion b{position:relative}
.shade{position:absolute;inset:0;background:var(--one)}.confusion small{position:relative;color:var(--ink)}
summary{cursor:pointer;padding:.5rem 0;min-height:24px}
blockquote{margin:.5rem 0;padding-left:.75rem;border-left:4px solid var(--open)}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.9em}
nav ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:.5rem 0}
nav a{display:inline-block;padding:.25rem 0}
@media print{:root{color-scheme:light;--ink:#000;--paper:#fff;--soft:#fff;--rule:#999;--muted:#333;--link:#000;
--one:#2f6fb0;--two:#b3541e;--three:#6b5ca5;--good:#1a7f4b;--bad:#b3261e;--open:#8a5a00}
body{max-width:none;padding:0;font-size:10pt}nav,.skip,details{display:none}h2{break-before:page}
h2:first-of-type{break-before:auto}h3,h4{break-after:avoid}figure,.checks>li,tr{break-inside:avoid}.scroll{overflow:visible}}
""".strip()
