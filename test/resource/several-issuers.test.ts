import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { make } from "../support/NativeScene.ts"
import { OktaStandIn } from "../support/OktaStandIn.ts"
import { asTimePasses } from "../support/ProxyScene.ts"

const redirectUri = "http://127.0.0.1:45678/callback"

/** Two organizations at addresses of their own, and an app that trusts both. */
const arrange = Effect.fnUntraced(function*(gone?: "first" | "second") {
  const { okta: first, serve } = yield* make({ audience: "api://first" })
  const second = yield* OktaStandIn.make({ audience: "api://second" })
  if (gone !== undefined) yield* (gone === "first" ? first : second).outage("error")
  const { ask } = yield* serve({
    issuers: [first, second].map(({ audience, issuer }) => ({ issuer, audience }))
  })
  const whoami = Effect.fnUntraced(function*(token: string) {
    const { body, headers, status } = yield* ask(token)
    return { status, body, retry: headers.has("retry-after") }
  })
  return { first, second, whoami }
})

const letIn = ({ issuer }: { readonly issuer: string }) => ({ status: 200, subject: "ada@example.com", issuer })

describe("two organizations behind one guard, by HTTP", () => {
  it.effect("each token is accepted by its own, and the principal says which", () =>
    Effect.gen(function*() {
      const { first, second, whoami } = yield* arrange()
      for (const okta of [first, second, first]) {
        const { accessToken } = yield* okta.signIn({ redirectUri })
        const { body, status } = yield* whoami(accessToken)
        assert.deepInclude({ status, ...Object(body) }, letIn(okta))
      }
    }))

  it.effect("neither's key makes tokens of the other, under whichever kid, and neither is asked in vain", () =>
    Effect.gen(function*() {
      const { first, second, whoami } = yield* arrange()
      for (const okta of [first, second]) assert.strictEqual((yield* whoami(yield* okta.mint())).status, 200)
      for (const [okta, other] of [[first, second], [second, first]] as const) {
        const before = yield* Effect.all([okta.requests("keys"), other.requests("keys")])
        const claims = { iss: other.issuer, aud: other.audience }
        for (const kid of [yield* other.signingKey, yield* okta.signingKey]) {
          const { body, status } = yield* whoami(yield* okta.mint(claims, { kid }))
          assert.deepInclude({ status, ...Object(body) }, { status: 401, error: "invalid_token" })
        }
        // That a kid is nobody's, only the one whose token it says to be is asked about.
        assert.strictEqual(yield* okta.requests("keys"), before[0])
        const wrong = yield* whoami(yield* okta.mint({ aud: other.audience }))
        assert.strictEqual(wrong.status, 401)
      }
    }))

  it.effect.each(["first", "second"] as const)(
    "that the %s is away hurts nobody of the other, and it heals",
    (name) =>
      Effect.gen(function*() {
        const { first, second, whoami } = yield* arrange()
        const [away, there] = name === "first" ? [first, second] : [second, first]
        yield* away.outage("error")
        const { accessToken } = yield* there.signIn({ redirectUri })
        assert.strictEqual((yield* whoami(accessToken)).status, 200)
        const token = yield* away.mint()
        const waits = yield* asTimePasses(whoami(token))
        assert.deepInclude({ ...waits, ...Object(waits.body) }, {
          status: 503,
          retry: true,
          error: "temporarily_unavailable"
        })
        assert.strictEqual((yield* whoami(yield* there.mint())).status, 200)
        yield* away.lift
        const healed = yield* asTimePasses(
          Effect.repeat(whoami(token), {
            until: ({ status }) => status === 200,
            schedule: Schedule.spaced("1 second"),
            times: 60
          })
        )
        assert.strictEqual(healed.status, 200)
      })
  )
})
