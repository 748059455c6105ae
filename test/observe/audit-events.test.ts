import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch, Layer, Queue, Schema } from "effect"
import { AuditEvent, Jwks, OktaAuth, type OktaOptions } from "effect-okta"
import { OktaTest } from "effect-okta/testing"
import { TestClock } from "effect/testing"
import { ec } from "../proxy/grant/KeyRing.ts"
import { decide, fieldsOf, make, now, type ProxyScene, tokensOf } from "../support/ProxyScene.ts"

type Tag = AuditEvent["_tag"]
type Event<T extends Tag> = Extract<AuditEvent, { readonly _tag: T }>

/** Events as the app gets them. */
const listen = Effect.gen(function*() {
  const events = yield* Queue.unbounded<AuditEvent>()
  return {
    audit: (event: AuditEvent) => Queue.offer(events, event),
    /** The next event, which is of this kind. */
    next: <T extends Tag>(tag: T) =>
      Effect.map(Queue.take(events), (event): Event<T> => {
        assert(isA(event, tag), `${event._tag} instead of ${tag}`)
        return event
      })
  }
})

const isA = <T extends Tag>(event: AuditEvent, tag: T): event is Event<T> => event._tag === tag

const scene = Effect.fnUntraced(function*(settings: Partial<OktaOptions & OktaAuth.StartOptions> = {}) {
  const { audit, next } = yield* listen
  const made = yield* make({ settings: { audit, ...settings } })
  yield* next("ClientRegistered")
  return { scene: made, next }
})

/** Signs somebody in, and gives the events of that. */
const signIn = Effect.fnUntraced(function*(made: ProxyScene, next: Effect.Success<typeof listen>["next"]) {
  const browser = made.browser()
  const code = yield* made.code({}, browser)
  const tokens = tokensOf(yield* made.one.token(made.redemption(code)))
  yield* next("ConsentGiven")
  const signedIn = yield* next("SignedIn")
  yield* next("TokensIssued")
  return { browser, code, tokens, grant: signedIn.grant }
})

describe("audit events", () => {
  it.effect(
    "from registration to revocation: who, by which client, from where, and the same name for the grant",
    () =>
      Effect.gen(function*() {
        const { audit, next } = yield* listen
        const made = yield* make({ settings: { audit } })
        const registered = yield* next("ClientRegistered")
        assert.deepInclude(Schema.encodeSync(AuditEvent)(registered), {
          _tag: "ClientRegistered",
          at: new Date(now * 1000).toISOString(),
          address: "127.0.0.1",
          name: "Example Assistant",
          redirectHosts: ["client.example.com"]
        })
        assert.match(registered.clientId, /^[\w-]{16}$/)
        const { clientId } = registered

        const first = yield* made.signIn()
        assert.deepInclude(yield* next("ConsentGiven"), {
          clientId,
          redirectHost: "client.example.com",
          scopes: ["mcp:read", "openid"]
        })
        const signedIn = yield* next("SignedIn")
        const { grant, subject } = signedIn
        assert.deepInclude(signedIn, { clientId, address: "127.0.0.1" })
        assert.match(grant, /^[\w-]{16}$/)
        assert.match(subject, /^00u/)
        // The grant's own id is in the refresh token; the event's name for it is another one.
        assert.notInclude(first.refreshToken, grant)
        const resource = "https://mcp.example.com/mcp"
        assert.deepInclude(yield* next("TokensIssued"), { clientId, grant, subject, resource })
        const second = tokensOf(yield* made.one.token(made.refreshment(first.refreshToken, { scope: "mcp:read" })))
        assert.deepInclude(yield* next("TokensRefreshed"), { clientId, grant, subject, resource, scopes: ["mcp:read"] })
        yield* made.one.revoke({ client_id: made.clientId, token: second.refreshToken })
        assert.deepInclude(yield* next("GrantRevoked"), { clientId, grant, subject, why: "revoked" })
      }),
    30_000
  )

  it.effect("what people do not allow, and sign-ins that come to nothing", () =>
    Effect.gen(function*() {
      const { next, scene: made } = yield* scene()
      const browser = made.browser()
      yield* decide(browser, yield* browser.ask(made.authorizeUrl()), "deny")
      assert.deepInclude(yield* next("ConsentDenied"), { redirectHost: "client.example.com" })
      yield* browser.ask("/oauth/callback?state=x&code=x")
      const unknown = yield* next("SignInRefused")
      assert.strictEqual(unknown.reason, "UnknownState")
      assert.notProperty(unknown, "clientId")
      const back = yield* made.comeBack(browser)
      yield* next("ConsentGiven")
      yield* made.browser().ask(back)
      const elsewhere = yield* next("SignInRefused")
      assert.strictEqual(elsewhere.reason, "OtherBrowser")
      assert.match(elsewhere.clientId ?? "", /^[\w-]{16}$/)
      const { location } = yield* made.allow(browser)
      yield* next("ConsentGiven")
      const state = location.searchParams.get("state") ?? ""
      yield* browser.ask(`/oauth/callback?error=access_denied&state=${state}`)
      assert.strictEqual((yield* next("SignInRefused")).reason, "OktaRefused")
    }), 30_000)

  it.effect("people who may not come in, at the sign-in and at a renewal", () =>
    Effect.gen(function*() {
      let mayEnter = false
      const admit = { check: () => Effect.sync(() => mayEnter) }
      const { next, scene: made } = yield* scene({ admit })
      const browser = made.browser()
      yield* browser.ask(yield* made.comeBack(browser))
      yield* next("ConsentGiven")
      const refused = yield* next("AdmissionRefused")
      assert.match(refused.subject, /^00u/)
      assert.include(refused.reason, "check")
      assert.notProperty(refused, "grant")
      assert.strictEqual((yield* next("SignInRefused")).reason, "NotAdmitted")

      mayEnter = true
      const { grant, tokens } = yield* signIn(made, next)
      mayEnter = false
      yield* TestClock.adjust("61 minutes")
      yield* made.one.token(made.refreshment(tokens.refreshToken))
      assert.deepInclude(yield* next("AdmissionRefused"), { grant, address: "127.0.0.1" })
      assert.deepInclude(yield* next("GrantRevoked"), { grant, why: "not-admitted" })
    }), 30_000)

  it.effect(
    "codes and refresh tokens that come again, codes without their verifier, and Okta's no",
    () =>
      Effect.gen(function*() {
        const { next, scene: made } = yield* scene()
        const one = yield* signIn(made, next)
        yield* made.one.token(made.redemption(one.code))
        assert.deepInclude(yield* next("ReplayDetected"), { what: "authorization code", grant: one.grant })
        assert.deepInclude(yield* next("GrantRevoked"), { why: "code-replayed", grant: one.grant })
        // What is over already is noted as well.
        yield* made.one.token(made.redemption(one.code))
        assert.deepInclude(yield* next("ReplayDetected"), { what: "authorization code", grant: one.grant })

        const two = yield* signIn(made, next)
        const second = tokensOf(yield* made.one.token(made.refreshment(two.tokens.refreshToken)))
        yield* made.one.token(made.refreshment(second.refreshToken))
        yield* made.one.token(made.refreshment(two.tokens.refreshToken))
        yield* next("TokensRefreshed")
        yield* next("TokensRefreshed")
        assert.deepInclude(yield* next("ReplayDetected"), { what: "refresh token", grant: two.grant })
        assert.deepInclude(yield* next("GrantRevoked"), { why: "refresh-token-replayed", grant: two.grant })

        const code = yield* made.code()
        yield* next("ConsentGiven")
        yield* next("SignedIn")
        yield* made.one.token(made.redemption(code, { code_verifier: "x".repeat(43) }))
        assert.deepInclude(yield* next("GrantRevoked"), { why: "code-misused" })

        const { grant, tokens } = yield* signIn(made, next)
        yield* made.okta.respond(
          "token",
          (_, response) =>
            void response.writeHead(400, { "content-type": "application/json" }).end(`{"error":"invalid_grant"}`)
        )
        yield* TestClock.adjust("61 minutes")
        yield* made.one.token(made.refreshment(tokens.refreshToken))
        assert.deepInclude(yield* next("GrantRevoked"), { why: "okta-refused", grant })
      }),
    30_000
  )

  it.effect("people who sign out", () =>
    Effect.gen(function*() {
      const { next, scene: made } = yield* scene()
      const { browser, grant } = yield* signIn(made, next)
      const question = yield* browser.ask("/oauth/logout")
      yield* browser.ask("/oauth/logout", { body: new URLSearchParams(fieldsOf(question)) })
      assert.deepInclude(yield* next("GrantRevoked"), { why: "signed-out", grant })
      assert.deepInclude(yield* next("SignedOut"), { grants: [grant], address: "127.0.0.1" })
    }), 30_000)

  it.effect("keys that change: this server's own, and Okta's", () =>
    Effect.gen(function*() {
      const { next, scene: made } = yield* scene()
      const keys = JSON.stringify({ keys: [{ ...ec(), kid: "two" }] })
      yield* made.one.ask("/reload", { body: keys })
      assert.deepInclude(yield* next("KeysRotated"), {
        issuer: "https://mcp.example.com",
        added: ["two"],
        removed: ["one"]
      })

      const native = yield* listen
      yield* Effect.gen(function*() {
        const okta = yield* OktaTest
        const { ready, reload } = yield* Jwks
        yield* ready
        yield* reload
        yield* okta.rotateKeys
        yield* reload
        const rotated = yield* native.next("KeysRotated")
        assert.strictEqual(rotated.issuer, OktaTest.issuer)
        assert.lengthOf(rotated.added, 1)
      }).pipe(
        Effect.provide(
          OktaAuth.layer({ issuer: OktaTest.issuer, audience: OktaTest.audience, audit: native.audit }).pipe(
            Layer.provideMerge(OktaTest.layer())
          )
        )
      )
    }), 30_000)

  it.effect("the address is what a trusted proxy says, if that is an address", () =>
    Effect.gen(function*() {
      const { next, scene: made } = yield* scene({ trustedProxies: 1 })
      for (
        const [forwarded, address] of [
          ["203.0.113.9, 198.51.100.7", "198.51.100.7"],
          ["2001:db8::7", "2001:db8::7"],
          ["::ffff:198.51.100.8", "198.51.100.8"],
          ["<script>", undefined]
        ] as const
      ) {
        yield* made.one.ask("/oauth/callback?state=x", { headers: { "x-forwarded-for": forwarded } })
        assert.strictEqual((yield* next("SignInRefused")).address, address)
      }
    }), 30_000)

  it.effect("a sign-in does not wait for a sink that does not come back", () =>
    Effect.gen(function*() {
      const gate = yield* Latch.make(false)
      let taken = 0
      const made = yield* make({ settings: { audit: () => Effect.andThen(gate.await, Effect.sync(() => taken++)) } })
      yield* made.signIn()
      assert.strictEqual(taken, 0)
      yield* gate.open
    }), 30_000)
})
