import { type Html, pagesOf } from "../proxy/authorize/Html.ts"

/** Colours and type, in light and in dark as the person has it. */
const ground = `
:root {
  color-scheme: light dark;
  --ground: #f3f4f7; --sheet: #ffffff; --sunk: #f6f7fa; --ink: #16181d; --soft: #545b69; --line: #d9dde5;
  --accent: #1f4fd8; --on-accent: #ffffff; --good: #17663a; --onward: #1f4fd8; --bad: #a3260f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101216; --sheet: #191c22; --sunk: #121419; --ink: #eef0f4; --soft: #a9b1c0; --line: #343a46;
    --accent: #8fb0ff; --on-accent: #0d1426; --good: #7fd6a2; --onward: #8fb0ff; --bad: #ffab9b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3, p, ul, ol, dl, dd { margin: 0; padding: 0; }
code, pre { font: .8125rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
a { color: var(--accent); }
.soft { color: var(--soft); }
button {
  min-height: 2.75rem; padding: .5rem 1.25rem; border: 1px solid var(--soft); border-radius: .625rem;
  background: transparent; color: var(--ink); font: inherit; font-weight: 600; cursor: pointer;
}
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.problem { padding: .75rem 1rem; border-left: .25rem solid var(--bad); border-radius: .375rem; background: var(--sunk);
  color: var(--bad); font-weight: 600; }
`

/** What the client's page adds. */
export const walk = `
main { max-width: 82rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 2.5rem) clamp(.875rem, 3vw, 2rem) 4rem; }
.eyebrow { font-size: .875rem; font-weight: 600; color: var(--soft); }
h1 { margin: .125rem 0 .5rem; font-size: clamp(1.5rem, 4.5vw, 2.125rem); line-height: 1.2; letter-spacing: -.015em; }
h2 { font-size: 1.125rem; line-height: 1.3; }
h3 { font-size: 1rem; line-height: 1.35; font-weight: 600; }
.lead { max-width: 46rem; color: var(--soft); }
.lead strong { color: var(--ink); font-weight: 600; }
.parties { display: grid; gap: .75rem; margin: 1.5rem 0; }
.parties > div { padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .75rem; background: var(--sheet); }
.parties dt span { color: var(--soft); font-weight: 400; }
.parties dt { font-weight: 650; }
.parties dd { color: var(--soft); font-size: .9375rem; }
.sheet { padding: 1.125rem 1.25rem; border: 1px solid var(--line); border-radius: .75rem; background: var(--sheet); }
.sheet p { margin-top: .375rem; }
.layout { display: grid; gap: 1.25rem; align-items: start; }
.plan { margin-top: .75rem; padding-left: 1.375rem; }
.plan li { padding: .125rem 0 .125rem .25rem; }
.plan li::marker { color: var(--soft); }
.actions { display: flex; flex-wrap: wrap; gap: .625rem; margin-top: 1rem; }
.problem { margin-bottom: 1.25rem; }
pre { margin: .375rem 0 0; padding: .75rem; border-radius: .5rem; background: var(--sunk); border: 1px solid var(--line);
  white-space: pre-wrap; }
.label { margin-top: .875rem; font-size: .875rem; font-weight: 600; }
.steps > header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: .25rem 1rem; }
.phase { margin: 1.5rem 0 .625rem; scroll-margin-top: 1rem; font-size: .9375rem; color: var(--soft); }
.steps ol { list-style: none; border: 1px solid var(--line); border-radius: .75rem; background: var(--sheet); overflow: hidden; }
.steps li + li { border-top: 1px solid var(--line); }
summary { display: grid; grid-template-columns: 2.5rem minmax(0, 1fr) auto; gap: .125rem .5rem; padding: .75rem 1rem; cursor: pointer;
  list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--sunk); }
summary:focus-visible { outline-offset: -3px; border-radius: .75rem; }
summary > * { grid-column: 2; }
.number { grid-column: 1; grid-row: 1; white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums; }
.number::before { content: "▸ "; } details[open] .number::before { content: "▾ "; }
.status { grid-column: 3; grid-row: 1; align-self: start; font-weight: 650; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .onward { color: var(--onward); } .bad { color: var(--bad); }
.note { font-size: .9375rem; color: var(--soft); }
.way { display: flex; flex-wrap: wrap; gap: 0 .625rem; margin-top: .125rem; font-size: .875rem; }
.detail { display: grid; gap: 0 1rem; padding: 0 1rem 1rem; }
.claims dl { margin-top: .75rem; }
.claims dl > div { padding: .5rem 0; border-top: 1px solid var(--line); }
.claims dt { display: flex; flex-wrap: wrap; gap: 0 .75rem; align-items: baseline; }
.claims dt code:first-child { font-weight: 650; }
.claims dt code + code { color: var(--good); }
.claims dd { font-size: .9375rem; color: var(--soft); }
@media (min-width: 44rem) {
  .parties { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .detail { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  .detail { padding-left: 4rem; }
}
@media (min-width: 68rem) {
  .layout.two { grid-template-columns: minmax(0, 1fr) 25rem; grid-template-rows: auto 1fr; }
  .two .steps { grid-column: 1; grid-row: 1 / span 2; }
  .two .session, .two .claims { grid-column: 2; }
}
`

/** What the stand-in's pages add. */
export const door = `
body { display: flex; align-items: center; justify-content: center; min-height: 100vh; padding: 1rem; }
main { width: 100%; max-width: 26rem; padding: clamp(1.25rem, 6vw, 2.25rem); border: 1px solid var(--line);
  border-radius: 1rem; background: var(--sheet); box-shadow: 0 1rem 3rem rgb(0 0 0 / 8%); }
.badge { display: inline-block; margin-bottom: 1rem; padding: .125rem .625rem; border: 1px solid var(--line); border-radius: 1rem;
  font-size: .8125rem; font-weight: 600; color: var(--soft); }
h1 { margin-bottom: .375rem; font-size: 1.625rem; line-height: 1.25; letter-spacing: -.01em; }
h2 { margin-top: 1.75rem; font-size: .9375rem; }
label { display: block; margin-top: 1rem; font-size: .9375rem; font-weight: 600; }
input { display: block; width: 100%; min-height: 2.75rem; margin-top: .25rem; padding: .5rem .75rem; border: 1px solid var(--soft);
  border-radius: .5rem; background: var(--ground); color: var(--ink); font: inherit; }
button.main { width: 100%; margin-top: 1.5rem; }
.problem { margin-top: 1rem; }
.people { margin-top: .375rem; list-style: none; }
.people li { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0 1rem; padding: .375rem 0;
  border-top: 1px solid var(--line); font-size: .875rem; }
.fine { margin-top: .75rem; font-size: .875rem; color: var(--soft); }
`

/** A page with its headers: no script, nothing from elsewhere, no other page around it. */
export const page = (
  title: string,
  look: string,
  main: Html
): { readonly html: string; readonly headers: { readonly [name: string]: string } } => {
  const { headers, page } = pagesOf(ground + look)
  return { html: page(title, main), headers: { "content-type": "text/html; charset=utf-8", ...headers } }
}
