/** The look of every page: light or dark as the person has it, one narrow column, large enough to touch. */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f3f4f7; --sheet: #ffffff; --ink: #16181d; --soft: #545b69; --line: #d9dde5;
  --accent: #1f4fd8; --on-accent: #ffffff; --note: #fff6dc; --note-line: #d69e16;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101216; --sheet: #191c22; --ink: #eef0f4; --soft: #a9b1c0; --line: #343a46;
    --accent: #8fb0ff; --on-accent: #0d1426; --note: #2b2410; --note-line: #d0a02c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; padding: 1rem; display: flex; align-items: center; justify-content: center;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main {
  width: 100%; max-width: 30rem; padding: clamp(1.25rem, 6vw, 2.25rem);
  background: var(--sheet); border: 1px solid var(--line); border-radius: 1rem;
  box-shadow: 0 1rem 3rem rgb(0 0 0 / 8%);
}
h1 { margin: 0 0 1rem; font-size: 1rem; font-weight: 500; line-height: 1.3; color: var(--soft); }
h1.plain { font-size: 1.5rem; font-weight: 650; color: var(--ink); }
.host {
  display: block; margin-top: .2rem; font-size: clamp(1.5rem, 7vw, 2.125rem); font-weight: 700; line-height: 1.2;
  letter-spacing: -.01em; color: var(--ink); overflow-wrap: anywhere;
}
h2 { margin: 1.5rem 0 .4rem; font-size: .9375rem; font-weight: 650; }
p { margin: 0 0 .75rem; }
strong { font-weight: 650; overflow-wrap: anywhere; }
ul, ol { margin: 0; padding-left: 1.3rem; }
li { margin: .25rem 0; }
li::marker { color: var(--soft); }
code { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9375rem; }
.note { margin: 1rem 0 0; padding: .75rem 1rem; background: var(--note); border-left: .25rem solid var(--note-line);
  border-radius: .375rem; }
form, .actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.75rem; }
.actions { margin-bottom: 1.75rem; }
form + p { margin-top: 1.75rem; }
ol + p, ul + p { margin-top: 1rem; }
button, .button {
  flex: 1 1 9rem; min-height: 3rem; padding: .625rem 1.25rem; border: 1px solid var(--soft); border-radius: .625rem;
  background: transparent; color: var(--ink); font: inherit; font-weight: 600; cursor: pointer;
  text-align: center; text-decoration: none;
}
button.main, .button { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
.button.other { border-color: var(--soft); background: transparent; color: var(--ink); }
.connections { margin-top: 1.5rem; padding: 0; list-style: none; }
.connections > li { margin: 0; padding: 1.25rem 0; border-top: 1px solid var(--line); }
.connections h2 { margin: 0 0 .5rem; font-size: 1.125rem; overflow-wrap: anywhere; }
.connections form { margin-top: 1rem; }
dl { display: grid; grid-template-columns: minmax(6rem, auto) 1fr; gap: .25rem 1rem; margin: 0; font-size: .9375rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
dd ul { list-style: disc; }
dd li:first-child { margin-top: 0; }
@media (max-width: 24rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd + dt { margin-top: .5rem; }
}
button:hover, .button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
@media (forced-colors: active) { main, button, .button { border: 1px solid; } }
`
