import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as fc from "fast-check"
import { Agent, request as httpRequest } from "node:http"
import {
  codeVerifier,
  decide,
  fieldsOf,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl
} from "../support/ProxyScene.ts"

const runs = Number(process.env["GENERATED_RUNS"] ?? 2000)
const timeout = 30_000 + runs * 20

interface Sent {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

interface Got {
  readonly status: number
  readonly location: string | undefined
  readonly text: string
}

const agent = new Agent({ keepAlive: true, maxSockets: 4 })

const send = ({ actual }: ProxyScene["one"], { body, headers, method, path }: Sent) =>
  new Promise<Got>((resolve, reject) => {
    const sent = httpRequest(
      actual,
      { agent, method, path, headers: { host: new URL(serverUrl).host, ...headers } },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", () => {
          const { headers: { location }, rawHeaders, statusCode = 0 } = response
          resolve({
            status: statusCode,
            location,
            text: `${rawHeaders.join("\n")}\n\n${Buffer.concat(chunks).toString("utf8")}`
          })
        })
      }
    )
    sent.on("error", reject).end(body)
  })

/** Texts that somebody has once got through with, and any others. */
const nasty = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "<script>alert(1)</script>",
    "a\r\nlocation: https://evil.example/",
    "\u0000",
    "\u202e",
    "\ud800",
    "%",
    "%00",
    "%0d%0a",
    "../../etc/passwd",
    "https://evil.example/",
    "//evil.example",
    "javascript:alert(1)",
    "https://client.example.com@evil.example/callback",
    `${redirectUri}@evil.example`,
    `${redirectUri}#`,
    redirectUri.replace("https", "http"),
    redirectUri.toUpperCase(),
    "e30.e30.",
    "[object Object]",
    "1e999",
    "-1",
    "9".repeat(400),
    "x".repeat(5000)
  ),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.base64String({ maxLength: 60 })
)

/** What becomes of a parameter. */
const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("replaced" as const), by: nasty }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("gone" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("repeated" as const), by: nasty }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("cut" as const), at: fc.double({ min: 0, max: 1, noNaN: true }) })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("spoiled" as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      by: nasty
    })
  }
)
type Change = typeof change extends fc.Arbitrary<infer A> ? A : never

const changed = (value: string, change: Change): ReadonlyArray<string> => {
  switch (change.kind) {
    case "replaced":
      return [change.by]
    case "gone":
      return []
    case "repeated":
      return [value, change.by]
    case "cut":
      return [value.slice(0, Math.floor(change.at * value.length))]
    case "spoiled": {
      const at = Math.floor(change.at * value.length)
      return [value.slice(0, at) + change.by + value.slice(at + 1)]
    }
  }
}

/** Changes to some of the parameters that matter, and further ones that nobody asked for. */
const changesTo = (...names: ReadonlyArray<string>) =>
  fc.record({
    changes: fc.dictionary(fc.constantFrom(...names), change, { minKeys: 1, maxKeys: 3 }),
    further: fc.array(fc.tuple(nasty, nasty), { maxLength: 2 })
  })

type Changes = ReturnType<typeof changesTo> extends fc.Arbitrary<infer A> ? A : never

/** The parameters as they are sent, and whether any of them is another than it was. */
const apply = (parameters: Readonly<Record<string, string>>, { changes, further }: Changes) => {
  const pairs = Object.entries(parameters).flatMap(([name, value]): Array<[string, string]> => {
    const change = changes[name]
    return (change === undefined ? [value] : changed(value, change)).map((value) => [name, value.toWellFormed()])
  })
  const isSame = JSON.stringify(pairs) === JSON.stringify(Object.entries(parameters))
  for (const [name, value] of further) pairs.push([`x${name}`.toWellFormed(), value.toWellFormed()])
  return { encoded: new URLSearchParams(pairs).toString(), isSame }
}

const formType = { "content-type": "application/x-www-form-urlencoded" }

/** By GET where it fits into a URL, else by POST. */
const asked = (path: string, encoded: string, byPost: boolean): Sent =>
  byPost || encoded.length > 12_000
    ? { method: "POST", path, headers: formType, body: encoded }
    : { method: "GET", path: `${path}?${encoded}` }

/** What holds for every answer to whatever request. */
const assertHarmless = ({ location, status, text }: Got, allowed: ReadonlyArray<string> = [redirectUri]) => {
  assert.isBelow(status, 500, text)
  assert.notInclude(text, "access_token")
  assert.notInclude(text, "refresh_token\"")
  assert.notMatch(text, /^set-cookie\n(?!__Host-effect-okta=)/im)
  if (location !== undefined) {
    assert.isTrue(
      allowed.some((uri) => location.startsWith(uri) && /^(?:[?&]|$)/.test(location.slice(uri.length))),
      location
    )
  }
}

const property = <A>(arbitrary: fc.Arbitrary<A>, holds: (value: A) => Promise<void>, numRuns = runs) =>
  Effect.promise(() => fc.assert(fc.asyncProperty(arbitrary, holds), { numRuns }))

const clients = [{
  clientId: "resource-server",
  clientSecrets: [Redacted.make("a secret of a resource server of ours")],
  redirectUris: [],
  mayIntrospect: true
}]

layer(Scene.layer({ settings: { clients } }))("F. /authorize: generated requests", (it) => {
  it.effect(
    "#91 #92 #98 with anything wrong: no redirect to where nobody registered, no code, no 5xx",
    () =>
      Effect.gen(function*() {
        const { authorizeUrl, one } = yield* Scene
        const good = Object.fromEntries(authorizeUrl().searchParams)
        const names = [...Object.keys(good), ...Object.keys(good), "client_id", "redirect_uri"]
        yield* property(fc.tuple(changesTo(...names), fc.boolean()), async ([changes, byPost]) => {
          const { encoded } = apply(good, changes)
          const got = await send(one, asked("/oauth/authorize", encoded, byPost))
          assertHarmless(got)
          assert.notMatch(got.location ?? "", /[?&]code=/)
          if (got.location !== undefined) assert.include(got.location, `iss=${encodeURIComponent(serverUrl)}`)
        })
      }),
    timeout
  )

  it.effect("#98 of any bytes: no redirect, no 5xx", () =>
    Effect.gen(function*() {
      const { one } = yield* Scene
      const body = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: "binary-ascii", maxLength: 300 }))
      const type = fc.constantFrom(
        "application/x-www-form-urlencoded",
        "application/json",
        "text/plain",
        "multipart/form-data"
      )
      const path = fc.constantFrom("authorize", "consent", "token", "register", "revoke", "introspect")
      yield* property(fc.tuple(path, type, body), async ([path, type, body]) => {
        const sent = { method: "POST", path: `/oauth/${path}`, headers: { "content-type": type }, body }
        const got = await send(one, sent)
        assertHarmless(got)
        assert.isUndefined(got.location)
        assert.include([400, 401], got.status, got.text)
      })
    }), timeout)
})

layer(Scene.layer())("G. /consent: generated answers", (it) => {
  it.effect("#112 #115 with anything wrong in form or cookie: nobody is sent on", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const good = {
        request: fieldsOf(page)["request"] ?? "",
        decision: "allow",
        cookie: [...browser.cookies.values()][0]?.value ?? ""
      }
      const to = (yield* decide(browser, page, "allow")).location
      const allowed = [redirectUri, to.origin + to.pathname]
      const arbitrary = fc.dictionary(fc.constantFrom("request", "decision", "cookie"), change, { minKeys: 1 })
      yield* property(arbitrary, async (changes) => {
        const { encoded, isSame } = apply(good, { changes, further: [] })
        const fields = new URLSearchParams(encoded)
        const cookies = fields.getAll("cookie").map((value) => `__Host-effect-okta=${value.replace(/[^!-~]/g, "")}`)
        fields.delete("cookie")
        const got = await send(scene.one, {
          method: "POST",
          path: "/oauth/consent",
          headers: { ...formType, ...cookies.length > 0 && { cookie: cookies.join("; ") } },
          body: fields.toString()
        })
        assertHarmless(got, allowed)
        const isWhole =
          fields.toString() === new URLSearchParams({ request: good.request, decision: "allow" }).toString()
        if (!isSame && !(isWhole && cookies[0]?.endsWith(good.cookie) === true)) {
          assert.include([400, 403], got.status, got.text)
        }
      })
    }), timeout)
})

layer(Scene.layer())("H. /callback: generated answers of Okta's", (it) => {
  it.effect(
    "#125 #130 with any state, code, issuer or error: no code for the client, no 5xx",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const browser = scene.browser()
        const back = yield* scene.comeBack(browser)
        const good: Record<string, string> = { ...Object.fromEntries(back.searchParams), iss: scene.okta.issuer }
        const cookie = [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ")
        const asked = yield* scene.okta.requests("token")
        const arbitrary = fc.record({
          state: change,
          others: changesTo("code", "iss"),
          error: fc.option(nasty, { nil: undefined })
        })
        yield* property(arbitrary, async ({ error, others, state }) => {
          const parameters = { ...good, ...error === undefined ? {} : { error, error_description: error } }
          const { encoded } = apply(parameters, { ...others, changes: { ...others.changes, state } })
          // A parameter without a value is as one that is not there.
          if (
            new URLSearchParams(encoded).getAll("state").filter((state) => state !== "").join() === good["state"]
          ) return
          const path = `/oauth/callback?${encoded.slice(0, 12_000)}`
          const got = await send(scene.one, { method: "GET", path, headers: { cookie } })
          assertHarmless(got)
          assert.deepStrictEqual([got.status, got.location], [400, undefined], got.text)
        })
        assert.strictEqual(yield* scene.okta.requests("token"), asked)
        assert.isTrue((yield* browser.ask(back)).location.searchParams.has("code"))
      }),
    timeout
  )

  it.effect(
    "#128 #129 #130 with the state that is right, and anything else wrong: no code for the client",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const arbitrary = fc.record({ others: changesTo("code", "iss"), error: fc.option(nasty, { nil: undefined }) })
        const examples = fc.sample(arbitrary, Math.max(20, runs / 20))
        for (const { error, others } of examples) {
          const browser = scene.browser()
          const back = yield* scene.comeBack(browser)
          const good: Record<string, string> = { ...Object.fromEntries(back.searchParams), iss: scene.okta.issuer }
          const parameters = { ...good, ...error === undefined ? {} : { error, error_description: error } }
          const { encoded, isSame } = apply(parameters, others)
          const cookie = [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ")
          const path = `/oauth/callback?${encoded.slice(0, 12_000)}`
          const got = yield* Effect.promise(() => send(scene.one, { method: "GET", path, headers: { cookie } }))
          assertHarmless(got)
          const sent = new URLSearchParams(encoded)
          const isGood = ["code", "iss", "error"].every((name) =>
            (sent.get(name) || undefined) === (name === "error" ? undefined : good[name])
          )
          // An issuer that is not named is not wrong.
          const withoutIssuer = !sent.get("iss") && sent.get("code") === good["code"] && !sent.get("error")
          if (!isSame && !isGood && !withoutIssuer) assert.notMatch(got.location ?? "", /[?&]code=/, got.text)
        }
      }),
    timeout
  )
})

layer(Scene.layer())("I. /token: generated requests", (it) => {
  it.effect(
    "#139 #142 #143 #147 with anything wrong: no token, no 5xx, and OAuth JSON that nobody keeps",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const { refreshToken } = yield* scene.signIn()
        const redemption: Record<string, string> = {
          grant_type: "authorization_code",
          client_id: scene.clientId,
          code: yield* scene.code(),
          redirect_uri: redirectUri,
          code_verifier: codeVerifier
        }
        const refreshment: Record<string, string> = {
          grant_type: "refresh_token",
          client_id: scene.clientId,
          refresh_token: refreshToken
        }
        const essential = ["grant_type", "client_id", "code", "redirect_uri", "code_verifier", "refresh_token"]
        const arbitrary = fc.tuple(fc.boolean(), changesTo(...essential), fc.option(nasty))
        yield* property(arbitrary, async ([isRefresh, changes, authorization]) => {
          const good = isRefresh ? refreshment : redemption
          const { encoded, isSame } = apply(good, changes)
          // What says the same as before is no bad request: an empty parameter is as none.
          const sent = new URLSearchParams(encoded)
          const isGood = Object.entries(good).every(([name, value]) => sent.getAll(name).join() === value)
          const header = authorization?.replace(/[^ -~]/g, "").trim() ?? ""
          if ((isSame || isGood) && header === "") return
          const got = await send(scene.one, {
            method: "POST",
            path: "/oauth/token",
            headers: { ...formType, ...header !== "" && { authorization: `Basic ${header}` } },
            body: encoded
          })
          assertHarmless(got)
          assert.include([400, 401], got.status, got.text)
          assert.match(got.text, /\n\n\{"error":"[a-z_]+","error_description":"[^"]+"\}$/)
          assert.match(got.text, /^cache-control\nno-store$/im)
        })
        // Nobody has lost anything by all that.
        assert.strictEqual((yield* scene.one.token(refreshment)).status, 200)
      }),
    timeout
  )
})
