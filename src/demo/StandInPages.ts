import { type Html, html } from "../proxy/authorize/Html.ts"
import { door, page } from "./DemoStyle.ts"
import { defaultPassword, type Person } from "./StandInDirectory.ts"

/** What the sign-in page shows. */
export interface SignInPage {
  readonly clientId: string
  readonly login: string
  readonly password?: string | undefined
  readonly problem?: string | undefined
  /** Told on the page, with their passwords: for a demonstration. */
  readonly people: ReadonlyArray<Person>
}

const badge = html`<p class="badge">A stand-in for Okta</p>`

const listed = (people: ReadonlyArray<Person>): Html =>
  html`<h2 id="people">Any of these people works</h2>
<ul class="people" aria-labelledby="people">${
    people.map(({ login, password }) =>
      html`<li><code>${login}</code><span class="soft">password <code>${password ?? defaultPassword}</code></span></li>`
    )
  }</ul>
<p class="fine">This page takes the place of your organization’s own sign-in page. It knows nobody else, and what you type stays on this
computer.</p>`

/** The page a person signs in on. */
export const signInPage = ({ clientId, login, password, people, problem }: SignInPage) =>
  page(
    "Sign in",
    door,
    html`${badge}
<h1>Sign in</h1>
<p class="soft">To go on to the application <code>${clientId}</code></p>
${problem === undefined ? "" : html`<p class="problem" role="alert">${problem}</p>`}
<form method="post">
<label for="login">Username</label>
<input id="login" name="login" autocomplete="username" autocapitalize="none" spellcheck="false" required value="${login}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required value="${password ?? ""}">
<button class="main">Sign in</button>
</form>
${people.length === 0 ? "" : listed(people)}`
  )

/** What the page of the second factor shows. */
export interface SecondFactorPage {
  readonly clientId: string
  readonly problem?: string | undefined
  /** Filled in: for a demonstration. */
  readonly code?: string | undefined
}

/** The page where a person shows the second factor. */
export const secondFactorPage = ({ clientId, code, problem }: SecondFactorPage) =>
  page(
    "Verify that it is you",
    door,
    html`${badge}
<h1>Verify that it is you</h1>
<p class="soft">The application <code>${clientId}</code> asks for a second factor</p>
${problem === undefined ? "" : html`<p class="problem" role="alert">${problem}</p>`}
<form method="post">
<label for="code">One-time code</label>
<input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required value="${code ?? ""}">
<button class="main">Verify</button>
</form>`
  )

/** What is shown when the client cannot be told, because its redirect address is not to be trusted. */
export const errorPage = (error: string, description: string | undefined) =>
  page(
    "This sign-in cannot go on",
    door,
    html`${badge}
<h1>This sign-in cannot go on</h1>
<p class="problem">${error}</p>
<p class="fine">${description ?? ""}</p>`
  )
