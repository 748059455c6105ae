import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import * as fc from "fast-check"
import { Store } from "../../src/store/Store.ts"
import { secret } from "../proxy/ProxyTest.ts"
import { codeVerifier, make, type ProxyScene, redirectUri, serverUrl } from "../support/ProxyScene.ts"
import { nasty, place } from "./Arbitraries.ts"
import { type Sent, serve } from "./InProcess.ts"
import { generated, timeout } from "./plan.ts"

const form = (path: string, fields: Readonly<Record<string, string>>): Sent => ({
  method: "POST",
  path,
  headers: { "content-type": "application/x-www-form-urlencoded" },
  body: new URLSearchParams(fields).toString()
})

/** A record as it stands in the store. */
interface Kept {
  readonly key: string
  readonly value: string
}

/** The record of a kind that was written last. */
const lastOf = Effect.fnUntraced(function*({ memory, values }: ProxyScene, kind: string): Effect.fn.Return<Kept> {
  const key = [...values].findLast((text) => text.startsWith(`${kind}:`))
  assert(key !== undefined, kind)
  const value = yield* Effect.orDie(memory.get(key))
  assert(value._tag === "Some", kind)
  return { key, value: value.value }
})

/** People on their way and there, each with what the next request needs of the store. */
const people = Effect.fnUntraced(function*(scene: ProxyScene) {
  const { refreshToken } = yield* scene.signIn()
  const grant = yield* lastOf(scene, "grant")
  const code = yield* scene.code()
  const kept = yield* lastOf(scene, "code")
  const browser = scene.browser()
  const back = yield* scene.comeBack(browser)
  const cookie = [...browser.cookies].map(([name, { value }]) => `${name}=${value}`).join("; ")
  const client_id = scene.clientId
  return {
    refresh: {
      ...grant,
      sent: form("/oauth/token", { grant_type: "refresh_token", client_id, refresh_token: refreshToken })
    },
    redeem: {
      ...kept,
      sent: form("/oauth/token", {
        grant_type: "authorization_code",
        client_id,
        code,
        redirect_uri: redirectUri,
        code_verifier: codeVerifier
      })
    },
    comeBack: { ...(yield* lastOf(scene, "flow")), sent: { path: back.pathname + back.search, headers: { cookie } } }
  }
})

describe("a store whose records are damaged, foreign or moved", () => {
  it.effect(
    "F29 they are as absent: nobody gets in by them, nothing fails on them, and no other is lost",
    () =>
      Effect.gen(function*() {
        const scene = yield* make()
        const { memory } = scene
        const own = yield* people(scene)
        const others = yield* people(scene)
        const foreign = yield* people(yield* make({ settings: { encryptionSecret: secret("b") } }))
        const send = yield* serve(scene.auth({ store: Layer.succeed(Store, memory) }), serverUrl)
        const run = Effect.runPromiseWith(yield* Effect.context<never>())

        const steps = Object.values(own)
        const elsewhere = [own, others, foreign].flatMap((all) => Object.values(all)).map(({ value }) => value)
        const wrong = fc.constantFrom(...steps).chain((step) =>
          fc.oneof(
            { weight: 3, arbitrary: place.map((end) => step.value.slice(0, Math.floor(end * step.value.length))) },
            {
              weight: 6,
              arbitrary: fc.tuple(place, fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 3 })).map(
                ([at, by]) => {
                  const start = Math.floor(at * step.value.length)
                  return step.value.slice(0, start) + by + step.value.slice(start + by.length)
                }
              )
            },
            { weight: 1, arbitrary: fc.constantFrom(...elsewhere) },
            { weight: 1, arbitrary: nasty }
          ).map((text) => text.toWellFormed().replaceAll("\0", "")).filter((text) => text !== step.value).map((
            text
          ) => ({
            step,
            text
          }))
        )
        yield* generated("records in the store", wrong, async ({ step, text }) => {
          await run(memory.put(step.key, text, Duration.days(1)))
          const got = await send(step.sent)
          await run(memory.put(step.key, step.value, Duration.days(1)))
          assert.strictEqual(got?.status, 400, got?.body)
          assert.isNull(got?.headers.get("location"))
          if (step !== own.comeBack) assert.match(got?.body ?? "", /^\{"error":"invalid_grant",/)
        })
        for (const step of [own.refresh, own.redeem]) {
          assert.strictEqual((yield* Effect.promise(() => send(step.sent)))?.status, 200)
        }
        // With a code, unless so much was generated that Okta's own has ended, which is good for a minute.
        const back = yield* Effect.promise(() => send(own.comeBack.sent))
        assert.isTrue(back?.headers.get("location")?.startsWith(redirectUri), "the sign-in is known as ever")
      }),
    timeout
  )
})
