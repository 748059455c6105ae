import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as fc from "fast-check"
import { Store } from "../../src/store/Store.ts"
import {
  codeVerifier,
  decide,
  fieldsOf,
  type ProxyScene,
  redirectUri,
  Scene,
  serverUrl
} from "../support/ProxyScene.ts"
import { apply, change, changed, changesTo, nasty } from "./Arbitraries.ts"
import { type Got, type Sent, serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const resourceServer = { clientId: "resource-server", secret: "a secret of a resource server of ours" }
const loggedOutUri = "https://client.example.com/signed-out"

const scene = Scene.layer({
  settings: {
    clients: [{
      clientId: resourceServer.clientId,
      clientSecrets: [Redacted.make(resourceServer.secret)],
      redirectUris: [],
      mayIntrospect: true
    }]
  },
  client: { post_logout_redirect_uris: [loggedOutUri] }
})

/** One more server of the scene, without sockets. */
const inProcess = ({ auth, memory }: ProxyScene) => serve(auth({ store: Layer.succeed(Store, memory) }), serverUrl)

const form = (path: string, fields: URLSearchParams, headers: Readonly<Record<string, string>> = {}): Sent => ({
  method: "POST",
  path,
  headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
  body: fields.toString()
})

/** By GET where it fits into a URL, else by POST. */
const asked = (path: string, fields: URLSearchParams, byPost = false): Sent =>
  byPost || fields.toString().length > 12_000
    ? form(path, fields)
    : { method: "GET", path: `${path}?${fields.toString()}` }

/** What holds for every answer to a bad request, of which these are the statuses. */
const assertHarmless = (
  got: Got | undefined,
  statuses: ReadonlyArray<number>,
  places: ReadonlyArray<string> = []
): Got => {
  assert(got !== undefined, "a browser would not let this be sent")
  const { body, headers, status } = got
  assert.include(statuses, status, body)
  assert.notInclude(body, "access_token")
  assert.notInclude(body, "refresh_token\"")
  for (const cookie of headers.getSetCookie()) assert.match(cookie, /^__Host-effect-okta=/)
  const location = headers.get("location")
  assert.strictEqual(location !== null, status === 302 || status === 303)
  if (location !== null) {
    assert.isTrue(
      places.some((place) => location.startsWith(place) && /^(?:[?&]|$)/.test(location.slice(place.length))),
      location
    )
  }
  return got
}

/** An error of the endpoints for clients: the code of an OAuth error, in JSON that nobody keeps. */
const assertOAuthError = ({ body, headers }: Got, ...codes: ReadonlyArray<string>) => {
  const [, code = ""] = /^\{"error":"([a-z_]+)","error_description":"[^"]+"\}$/.exec(body) ?? []
  assert.include(codes, code, body)
  assert.strictEqual(headers.get("cache-control"), "no-store")
  assert.strictEqual(headers.get("content-type"), "application/json")
}

const cookiesOf = (values: ReadonlyArray<string>) => {
  const pairs = values.map((value) => `__Host-effect-okta=${value.replace(/[^!-~]/g, "")}`)
  return pairs.length === 0 ? {} : { cookie: pairs.join("; ") }
}

layer(scene)("/authorize", (it) => {
  it.effect(
    "#91 #92 #98 with anything wrong: no redirect to where nobody registered, and no code",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const send = yield* inProcess(scene)
        const stronger = { acr_values: "urn:okta:loa:2fa:any", max_age: "900", dpop_jkt: "k".repeat(43) }
        const good = Object.fromEntries(scene.authorizeUrl(stronger).searchParams)
        const names = [...Object.keys(good), ...Object.keys(good), "client_id", "redirect_uri"]
        yield* generated("authorization requests", fc.tuple(changesTo(...names), fc.boolean()), async (value) => {
          const [changes, byPost] = value
          const { isSame, sent } = apply(good, changes)
          fc.pre(!isSame)
          // Whoever comes by POST from elsewhere comes once more by GET.
          const got = assertHarmless(await send(asked("/oauth/authorize", sent, byPost)), [200, 302, 303, 400], [
            redirectUri,
            `${serverUrl}/oauth/authorize`
          ])
          const location = got.headers.get("location") ?? ""
          assert.notMatch(location, /[?&]code=/)
          if (location.startsWith(redirectUri)) assert.include(location, `iss=${encodeURIComponent(serverUrl)}`)
        })
      }),
    timeout
  )

  it.effect("#98 of any bytes: refused", () =>
    Effect.gen(function*() {
      const send = yield* inProcess(yield* Scene)
      const body = fc.oneof(
        fc.uint8Array({ maxLength: 300 }).map((bytes) => Uint8Array.from(bytes)),
        fc.string({ unit: "binary-ascii", maxLength: 300 })
      )
      const type = fc.constantFrom(
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/json",
        "text/plain",
        "multipart/form-data"
      )
      const path = fc.constantFrom("authorize", "consent", "token", "register", "revoke", "introspect", "logout")
      yield* generated("bodies of any bytes", fc.tuple(path, type, body), async ([path, type, body]) => {
        const sent = { method: "POST", path: `/oauth/${path}`, headers: { "content-type": type }, body }
        const got = assertHarmless(await send(sent), [303, 400, 401], [`${serverUrl}${sent.path}`])
        if (!["authorize", "consent", "logout"].includes(path)) {
          assert.notStrictEqual(got.status, 303)
          assertOAuthError(
            got,
            "invalid_request",
            "invalid_client",
            "invalid_redirect_uri",
            "invalid_client_metadata",
            "unsupported_grant_type"
          )
        }
      })
    }), timeout)
})

layer(scene)("/consent", (it) => {
  it.effect("#112 #115 with anything wrong in form or cookie: nobody is sent on", () =>
    Effect.gen(function*() {
      const scene = yield* Scene
      const send = yield* inProcess(scene)
      const browser = scene.browser()
      const page = yield* browser.ask(scene.authorizeUrl())
      const good = {
        request: fieldsOf(page)["request"] ?? "",
        decision: "allow",
        cookie: [...browser.cookies.values()][0]?.value ?? ""
      }
      const to = (yield* decide(browser, page, "allow")).location
      const arbitrary = fc.dictionary(fc.constantFrom("request", "decision", "cookie"), change, { minKeys: 1 })
      yield* generated("answers to the consent page", arbitrary, async (changes) => {
        const values = (name: keyof typeof good) =>
          changes[name] === undefined ? [good[name]] : changed(good[name], changes[name])
        const headers = cookiesOf(values("cookie"))
        const fields = new URLSearchParams(
          (["request", "decision"] as const).flatMap((name) =>
            values(name).map((value): [string, string] => [name, value.toWellFormed()])
          )
        )
        // Of several cookies the first counts, as the browser sends the one of the longest path first.
        const isGood =
          fields.toString() === new URLSearchParams({ request: good.request, decision: "allow" }).toString()
        fc.pre(!isGood || headers.cookie?.split("; ")[0] !== cookiesOf([good.cookie]).cookie)
        // A denial would be an answer like any other.
        fc.pre(fields.get("decision") !== "deny")
        assertHarmless(await send(form("/oauth/consent", fields, headers)), [400, 403], [to.origin + to.pathname])
      })
    }), timeout)
})

layer(scene)("/callback", (it) => {
  it.effect(
    "#125 #130 with any state, code, issuer or error: no code for the client, nothing asked of Okta",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const send = yield* inProcess(scene)
        const browser = scene.browser()
        const back = yield* scene.comeBack(browser)
        const good: Record<string, string> = { ...Object.fromEntries(back.searchParams), iss: scene.okta.issuer }
        const headers = cookiesOf([...browser.cookies.values()].map(({ value }) => value))
        const before = yield* scene.okta.requests("token")
        const arbitrary = fc.record({
          state: change,
          others: changesTo("code", "iss"),
          error: fc.option(nasty, { nil: undefined })
        })
        yield* generated("answers of Okta's to the browser", arbitrary, async ({ error, others, state }) => {
          const parameters = { ...good, ...error === undefined ? {} : { error, error_description: error } }
          const { sent } = apply(parameters, { ...others, changes: { ...others.changes, state } })
          // A parameter without a value is as one that is not there.
          fc.pre(sent.getAll("state").filter((state) => state !== "").join() !== good["state"])
          const path = `/oauth/callback?${sent.toString().slice(0, 12_000)}`
          assertHarmless(await send({ path, headers }), [400])
        })
        assert.strictEqual(yield* scene.okta.requests("token"), before)
        assert.isTrue((yield* browser.ask(back)).location.searchParams.has("code"))
      }),
    timeout
  )

  it.effect(
    "#128 #129 #130 with the state that is right, and anything else wrong: no code for the client",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const send = yield* inProcess(scene)
        const arbitrary = fc.record({ others: changesTo("code", "iss"), error: fc.option(nasty, { nil: undefined }) })
        for (const { error, others } of fc.sample(arbitrary, 100)) {
          const browser = scene.browser()
          const back = yield* scene.comeBack(browser)
          const good: Record<string, string> = { ...Object.fromEntries(back.searchParams), iss: scene.okta.issuer }
          const parameters = { ...good, ...error === undefined ? {} : { error, error_description: error } }
          const { sent } = apply(parameters, others)
          const path = `/oauth/callback?${sent.toString().slice(0, 12_000)}`
          const headers = cookiesOf([...browser.cookies.values()].map(({ value }) => value))
          const got = assertHarmless(yield* Effect.promise(() => send({ path, headers })), [302, 303, 400], [
            redirectUri
          ])
          const isRepeated = ["code", "iss", "error"].some((name) =>
            sent.getAll(name).filter((value) => value !== "").length > 1
          )
          // An issuer that is not named is not wrong.
          const isGood = !isRepeated && sent.get("code") === good["code"] && !sent.get("error") &&
            (!sent.get("iss") || sent.get("iss") === good["iss"])
          if (!isGood) assert.notMatch(got.headers.get("location") ?? "", /[?&]code=/)
        }
      }),
    timeout
  )
})

layer(scene)("/token", (it) => {
  it.effect(
    "#139 #142 #143 #147 with anything wrong: no token, and OAuth JSON that nobody keeps",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const send = yield* inProcess(scene)
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
        const names = ["grant_type", "client_id", "code", "redirect_uri", "code_verifier", "refresh_token"]
        const arbitrary = fc.tuple(fc.boolean(), changesTo(...names), fc.option(nasty))
        yield* generated("token requests", arbitrary, async ([isRefresh, changes, authorization]) => {
          const { isSame, sent } = apply(isRefresh ? refreshment : redemption, changes)
          const header = authorization?.replace(/[^ -~]/g, "").trim() ?? ""
          fc.pre(!isSame || header !== "")
          const got = await send(
            form("/oauth/token", sent, header === "" ? {} : { authorization: `Basic ${header}` })
          )
          assertOAuthError(
            assertHarmless(got, [400, 401]),
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unsupported_grant_type"
          )
        })
        // Nobody has lost anything by all that.
        assert.strictEqual((yield* scene.one.token(refreshment)).status, 200)
      }),
    timeout
  )
})

const service = { clientId: "nightly", secret: "a secret of a service, of 32 bytes or more" }

layer(
  Scene.layer({
    settings: {
      clients: [{
        clientId: service.clientId,
        clientSecrets: [Redacted.make(service.secret)],
        serviceScopes: ["mcp:read"]
      }]
    }
  })
)("/token, of services", (it) => {
  it.effect("#145 #147 #158 with anything wrong: no token", () =>
    Effect.gen(function*() {
      const send = yield* inProcess(yield* Scene)
      const good = {
        grant_type: "client_credentials",
        client_id: service.clientId,
        client_secret: service.secret,
        resource: `${serverUrl}/mcp`
      }
      const ask = (fields: URLSearchParams) => send(form("/oauth/token", fields))
      const accepted = async () => assert.strictEqual((await ask(new URLSearchParams(good)))?.status, 200)
      yield* Effect.promise(accepted)
      yield* generated("token requests of services", changesTo(...Object.keys(good)), async (changes) => {
        const { isSame, sent } = apply(good, changes)
        const said = (name: string) => sent.getAll(name).filter((value) => value !== "").join()
        // Without a resource the token is for the server as a whole.
        const isForAll = said("resource") === "" && sent.getAll("resource").length < 2
        const others = ["grant_type", "client_id", "client_secret"] as const
        const isGood = isForAll && others.every((name) => said(name) === good[name] && sent.getAll(name).length === 1)
        fc.pre(!isSame && !isGood)
        assertOAuthError(
          assertHarmless(await ask(sent), [400, 401]),
          "invalid_request",
          "invalid_client",
          "invalid_target",
          "unsupported_grant_type"
        )
      })
      yield* Effect.promise(accepted)
    }), timeout)
})

layer(scene)("/revoke, /introspect and /logout", (it) => {
  it.effect(
    "#159 with anything wrong: nothing is told, nothing ends, nobody is sent anywhere",
    () =>
      Effect.gen(function*() {
        const scene = yield* Scene
        const send = yield* inProcess(scene)
        const { accessToken, refreshToken } = yield* scene.signIn()
        const basic = (id: string, secret: string) =>
          `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}`
        const good = basic(resourceServer.clientId, resourceServer.secret)
        /** Base64 without its padding, or with stray bits, means the same. */
        const meaning = (header: string) =>
          /^basic +[\w+/]+={0,2}$/i.test(header) ? Buffer.from(header.slice(6), "base64").toString() : header
        const logout = { client_id: scene.clientId, post_logout_redirect_uri: loggedOutUri, state: "s" }
        const arbitrary = fc.record({
          endpoint: fc.constantFrom("revoke", "introspect", "logout", "logout/done"),
          token: fc.constantFrom(accessToken, refreshToken),
          changes: changesTo("token", "token", "client_id", "post_logout_redirect_uri", "state"),
          authorization: change
        })
        yield* generated(
          "revocations, introspections and sign-outs",
          arbitrary,
          async ({ authorization, changes, endpoint, token }) => {
            if (endpoint.startsWith("logout")) {
              const { isSame, sent } = apply(logout, changes)
              fc.pre(!isSame)
              assertHarmless(await send(asked(`/oauth/${endpoint}`, sent)), [200, 303, 400], [
                `${serverUrl}/oauth/logout`
              ])
              return
            }
            const parameters = { token, ...endpoint === "revoke" ? { client_id: scene.clientId } : {} }
            const { isSame, sent } = apply(parameters, changes)
            const [header = ""] = endpoint === "revoke" ?
              [] :
              changed(good, authorization).map((text) => text.replace(/[^ -~]/g, "").trim())
            fc.pre(!isSame || endpoint === "introspect" && meaning(header) !== meaning(good))
            const got = assertHarmless(
              await send(form(`/oauth/${endpoint}`, sent, header === "" ? {} : { authorization: header })),
              [200, 400, 401, 403]
            )
            if (got.status === 200) assert.strictEqual(got.body, endpoint === "revoke" ? "" : "{\"active\":false}")
            else assertOAuthError(got, "invalid_request", "invalid_client", "unauthorized_client")
          }
        )
        assert.strictEqual((yield* scene.one.call(accessToken)).status, 200)
        assert.strictEqual((yield* scene.one.token(scene.refreshment(refreshToken))).status, 200)
      }),
    timeout
  )
})
