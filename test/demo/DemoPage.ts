import { Html, html } from "../../src/proxy/authorize/Html.ts"
import { claimsOf, type Exchange, type Visit } from "./Walk.ts"

const style = `
:root { color-scheme: light dark; --ground: #f3f4f7; --sheet: #fff; --ink: #16181d; --soft: #545b69; --line: #d9dde5;
  --accent: #1f4fd8; --on-accent: #fff; --good: #17663a; --bad: #a3260f; }
@media (prefers-color-scheme: dark) { :root { --ground: #101216; --sheet: #191c22; --ink: #eef0f4; --soft: #a9b1c0;
  --line: #343a46; --accent: #8fb0ff; --on-accent: #0d1426; --good: #7fd6a2; --bad: #ffab9b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.0625rem; margin: 0; }
section { background: var(--sheet); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.25rem; margin-top: 1rem; }
p { margin: .25rem 0 .75rem; }
.soft { color: var(--soft); }
pre { margin: .5rem 0 0; padding: .75rem; background: var(--ground); border-radius: .5rem; white-space: pre-wrap;
  overflow-wrap: anywhere; font: .8125rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
.status { font-weight: 650; }
.good { color: var(--good); } .bad { color: var(--bad); }
form { display: inline-block; margin: .5rem .5rem 0 0; }
button { min-height: 2.75rem; padding: .5rem 1.25rem; border: 1px solid var(--soft); border-radius: .625rem; background: transparent;
  color: var(--ink); font: inherit; font-weight: 600; cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
`

/** Text of several lines: `html` takes the ends of lines out of what comes from outside. */
const lines = (text: string): ReadonlyArray<Html> =>
  text.split("\n").map((line, index) =>
    index === 0 ? html`${line}` : html`
${line}`
  )

const shown = ({ body, headers, note, request, status, title }: Exchange, index: number): Html => {
  const kind = status < 400 ? "good" : "bad"
  return html`<section aria-labelledby="step-${String(index)}">
<h2 id="step-${String(index)}">${String(index)}. ${title}</h2>
<p class="soft">${note}</p>
<pre>${lines(request)}</pre>
<pre><span class="${`status ${kind}`}">${String(status)}</span>
${lines(headers)}${lines(body === "" ? "" : `\n\n${body}`)}</pre>
</section>`
}

const button = (action: string, text: string, main = false): Html =>
  html`<form method="post" action="${action}"><button${new Html(main ? " class=\"main\"" : "")}>${text}</button></form>`

/** The page of the demo: what has happened so far, and what can be done next. */
export const demoPage = (visit: Visit | undefined, login: string): string => {
  const exchanges = visit?.exchanges ?? []
  const isSignedIn = visit?.accessToken !== undefined
  const next = isSignedIn
    ? [
      button("/call", "Call the tool again", true),
      button("/refresh", "Refresh the tokens"),
      button("/revoke", "Sign out")
    ]
    : [button("/begin", exchanges.length === 0 ? "Sign in" : "Sign in again", true)]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>effect-okta: a client signs in</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<h1>A client that nobody has told of Okta signs in</h1>
<p>This page is an MCP client. It knows the address of a guarded MCP server and nothing else. Each exchange over HTTP is shown as it
happens; tokens are shortened.</p>
${visit?.problem === undefined ? "" : html`<p class="bad" role="alert">${visit.problem}</p>`}
${
    exchanges.length === 0
      ? html`<p>The sign-in page is that of a stand-in for Okta: its user name and password are filled in for you (${login}).</p>`
      : ""
  }
<div>${next}</div>
${exchanges.map((exchange, index) => shown(exchange, index + 1))}
${
    visit?.accessToken === undefined
      ? ""
      : html`<section aria-labelledby="claims"><h2 id="claims">What the access token says</h2>
<pre>${lines(claimsOf(visit.accessToken))}</pre></section>`
  }
</main>
</body>
</html>`.source
}
