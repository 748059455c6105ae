import { Html, html } from "../proxy/authorize/Html.ts"
import { type Claim, claimsOf } from "./Claims.ts"
import { page, walk } from "./DemoStyle.ts"
import { membersOf, type Pairs, shownJson } from "./Shown.ts"
import type { Step, Visit } from "./Visit.ts"

/** Who takes part, and where. */
export interface Parties {
  readonly demoUrl: string
  readonly serverUrl: string
  readonly issuer: string
  /** Names with which one can sign in. */
  readonly people: ReadonlyArray<string>
}

/** Text of several lines: `html` takes the ends of lines out of what comes from outside. */
const lines = (text: string): ReadonlyArray<Html> =>
  text.split("\n").map((line, index) =>
    index === 0 ? html`${line}` : html`
${line}`
  )

const listed = (pairs: Pairs, between: string): string =>
  pairs.map(([name, value]) => `${name}${between}${value}`).join("\n")

/** The parts that are there, with an empty line between them. */
const parts = (...texts: ReadonlyArray<string>): string => texts.filter((text) => text !== "").join("\n\n")

const phases: { readonly [phase in Step["phase"]]: string } = {
  discovery: "The client finds out where people sign in",
  "sign-in": "You allow it, and sign in",
  tokens: "The client gets its tokens",
  call: "The tool is called",
  refresh: "The tokens are renewed",
  "sign-out": "You sign out"
}

const kindOf = (status: number): string => status < 300 ? "good" : status < 400 ? "onward" : "bad"

const shownStep = (step: Step, number: number, isOpen: boolean): Html => {
  const { from, method, note, status, title, to, url } = step
  const path = new URL(url).pathname.replace(
    /[^/]{24,}/g,
    (long) => /^[a-z-]+$/.test(long) ? long : `${long.slice(0, 8)}…`
  )
  const request = parts(
    `${method} ${url}${step.requestHeaders.length === 0 ? "" : `\n${listed(step.requestHeaders, ": ")}`}`,
    listed(step.parameters, " = "),
    step.requestBody
  )
  const response = parts(
    `${String(status)}${step.responseHeaders.length === 0 ? "" : `\n${listed(step.responseHeaders, ": ")}`}`,
    step.responseBody
  )
  return html`<li><details${new Html(isOpen ? " open" : "")}>
<summary><h3>${title}</h3><span class="number">${String(number)}</span><span class="status ${kindOf(status)}">${
    String(status)
  }</span>
<span class="note">${note}</span>
<span class="way"><span>${from} → ${to}</span><code>${method} ${path}</code></span></summary>
<div class="detail"><div><p class="label">Request</p><pre>${lines(request)}</pre></div>
<div><p class="label">Answer</p><pre>${lines(response)}</pre></div></div>
</details></li>`
}

/** Steps that follow each other within one phase. */
const groups = (steps: ReadonlyArray<Step>): ReadonlyArray<ReadonlyArray<Step>> =>
  steps.reduce<ReadonlyArray<ReadonlyArray<Step>>>((before, step) => {
    const last = before.at(-1)
    return last?.[0]?.phase === step.phase ? [...before.slice(0, -1), [...last, step]] : [...before, [step]]
  }, [])

const shownSteps = (steps: ReadonlyArray<Step>, all: boolean): Html => {
  const grouped = groups(steps)
  const numbers = new Map(steps.map((step, index) => [step, index + 1]))
  return html`<section class="steps" aria-labelledby="steps">
<header><h2 id="steps">What happened, step by step</h2>
<a href="${all ? "/" : "/?all"}#steps">${all ? "Close the steps" : "Open all steps"}</a></header>
${
    grouped.map((group, index) => {
      const isLast = index === grouped.length - 1
      const [first] = group
      return first === undefined ?
        html`` :
        html`<h3 class="phase"${new Html(isLast ? " id=\"latest\"" : "")}>${phases[first.phase]}</h3>
<ol>${group.map((step) => shownStep(step, numbers.get(step) ?? 0, all || isLast))}</ol>`
    })
  }
</section>`
}

const button = (action: string, text: string, main = false): Html =>
  html`<form method="post" action="${action}"><button${new Html(main ? " class=\"main\"" : "")}>${text}</button></form>`

/** What the tool said, out of its answer in JSON-RPC. */
const resultOf = (answer: string): { readonly text: string; readonly name: string | undefined } => {
  const { result } = membersOf(answer)
  const content = typeof result === "object" && result !== null && !Array.isArray(result)
    ? JSON.stringify(result["structuredContent"] ?? result)
    : answer
  const { username } = membersOf(content)
  return { text: shownJson(content), name: typeof username === "string" ? username : undefined }
}

const session = (visit: Visit | undefined, { people }: Parties): Html => {
  if (visit?.accessToken === undefined) {
    const again = visit !== undefined && visit.steps.length > 0
    const plan = again
      ? html``
      : html`<h2 class="label" id="plan">What will happen</h2>
<ol class="plan" aria-labelledby="plan">${Object.values(phases).map((phase) => html`<li>${phase}</li>`)}</ol>`
    return html`<section class="sheet session" aria-labelledby="session"><h2 id="session">${
      again ? "Nobody is signed in" : "Begin here"
    }</h2>
<p class="soft">${
      again
        ? "You will be asked again whether this client may act for you. Okta may still know you; then it asks nothing."
        : `You will be asked twice: by the server, whether this client may act for you, and by Okta, who you are. Any of ${
          people.join(", ")
        } works there, and a password is filled in.`
    }</p>
<div class="actions">${button("/begin", again ? "Sign in again" : "Sign in", true)}</div>
${plan}</section>`
  }
  const { name, text } = resultOf(visit.answer ?? "")
  return html`<section class="sheet session" aria-labelledby="session"><h2 id="session">Signed in${
    name === undefined ? "" : ` as ${name}`
  }</h2>
<div class="actions">${button("/call", "Call the tool again", true)}${button("/refresh", "Refresh the tokens")}${
    button("/sign-out", "Sign out")
  }</div>
<p class="label">The tool whoami answered</p>
<pre>${lines(text)}</pre></section>`
}

const shownClaim = ({ meaning, name, value }: Claim): Html =>
  html`<div><dt><code>${name}</code><code>${value}</code></dt><dd>${meaning}</dd></div>`

/** The page of the demo: what has happened so far, and what can be done next. `now` in milliseconds since 1970. */
export const demoPage = (visit: Visit | undefined, parties: Parties, now: number, all: boolean) => {
  const { demoUrl, issuer, serverUrl } = parties
  const steps = visit?.steps ?? []
  return page(
    "effect-okta: a client signs you in",
    walk,
    html`<p class="eyebrow">effect-okta demo</p>
<h1>A client that Okta has never heard of signs you in</h1>
<p class="lead">This page is an <strong>MCP client</strong>. It knows the address of one server and nothing else. Each exchange over HTTP
that it takes to call a tool there in your name is shown as it happened; what is secret in it is cut short.</p>
<dl class="parties">
<div><dt>Client <span>this page</span></dt><dd><code>${demoUrl}</code></dd></div>
<div><dt>Server <span>effect-okta serve, in proxy mode</span></dt><dd><code>${serverUrl}/mcp</code></dd></div>
<div><dt>Okta <span>a stand-in, no account needed</span></dt><dd><code>${issuer}</code></dd></div>
</dl>
${visit?.problem === undefined ? "" : html`<p class="problem" role="alert">${visit.problem}</p>`}
<div class="layout${steps.length === 0 ? "" : " two"}">
${session(visit, parties)}
${steps.length === 0 ? "" : shownSteps(steps, all)}
${
      visit?.accessToken === undefined ? "" : html`<section class="sheet claims" aria-labelledby="claims">
<h2 id="claims">What the access token says</h2>
<p class="soft">It is the server's own, signed by it. Okta's tokens stay there.</p>
<dl>${claimsOf(visit.accessToken, now).map(shownClaim)}</dl></section>`
    }
</div>`
  )
}
