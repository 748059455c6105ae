import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { generateKeyPairSync, sign } from "node:crypto"
import { Jwks } from "../../src/provider/Jwks.ts"
import { TokenVerifier } from "../../src/token/TokenVerifier.ts"
import { serve } from "../generated/InProcess.ts"
import { ec, ring } from "../proxy/grant/KeyRing.ts"
import { type FaultyOkta, make } from "../support/FaultyOkta.ts"
import * as Memory from "./Memory.ts"

/** Something counted or measured, and what it may be at the most. */
export interface Figure {
  readonly what: string
  readonly value: number
  readonly atMost: number
  readonly unit: string
}

/** How many tokens, sign-ins and seconds of each, as a part of all. */
type Run = (part: number) => Effect.Effect<ReadonlyArray<Figure>, never, Scope.Scope>

const megabytes = 32
const serverUrl = "https://mcp.example.com"
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A second key of Okta's, with which a million tokens are signed in reasonable time. */
const quickSigner = (okta: FaultyOkta) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  okta.published.push({ ...publicKey.export({ format: "jwk" }), kid: "quick", alg: "ES256", use: "sig" })
  const now = Math.floor(Date.now() / 1000)
  return (jti: number) => {
    const claims = { iss: okta.issuer, aud: okta.audience, sub: `user-${jti}@example.com`, iat: now, exp: now + 36_000 }
    const input = `${encode({ alg: "ES256", kid: "quick" })}.${
      encode({ ...claims, jti: `AT.${jti}`, cid: "0oa1", scp: ["profile"] })
    }`
    const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" })
    return `${input}.${signature.toString("base64url")}`
  }
}

const both = { algorithms: ["RS256", "ES256"] } as const

const seconds = (since: number) => (performance.now() - since) / 1000

/** A token that names a key which is not there. */
const unknownKey = (token: string, kid: string) => token.replace(/^[^.]+/, encode({ alg: "RS256", kid }))

/** Gives up what is far too large, again and again. */
const flooded = (what: string, fault: "flood" | "endless", documents: "keys" | "metadata"): Run => () =>
  Effect.gen(function*() {
    const okta = yield* make()
    yield* Effect.orDie((yield* okta.start()).jwks.ready)
    okta.break(fault, documents === "keys" ? ["keys"] : ["metadata", "oauth"])
    const memory = Memory.watch()
    let megabytesSent = 0
    okta.onFlood = () => {
      if (megabytesSent++ % 4 === 0) memory.sample()
    }
    for (let round = 0; round < 10; round++) {
      const { message } = yield* Effect.orDie(
        Effect.scoped(
          Effect.flatMap(
            okta.start(),
            ({ discovery, jwks }) => Effect.flip(documents === "keys" ? jwks.ready : discovery.metadata)
          )
        )
      )
      if (!/more than \d+ KiB/.test(message)) return yield* Effect.die(new Error(message))
      memory.sample()
    }
    return [{ what: `${what}, ten times: memory`, value: memory.growth(), atMost: megabytes, unit: "MB" }]
  })

/** Each has a process of its own. */
export const figures: Readonly<Record<string, Run>> = {
  unknown: (part) =>
    Effect.gen(function*() {
      const okta = yield* make()
      const { verify } = yield* okta.start()
      const ask = (token: string) =>
        Effect.match(verify(Redacted.make(token)), { onFailure: () => false, onSuccess: () => true })
      const known = Redacted.value(okta.token())
      yield* Effect.orDie(verify(okta.token()))
      const length = 60 * part
      const rotation = length * 0.4
      let [asked, refused, letIn] = [0, 0, 0]
      let rotated: number | undefined
      let accepted: number | undefined
      let fresh = ""
      const began = performance.now()
      while (seconds(began) < length) {
        // As many as are due by now at 1 000 a second.
        for (; asked < Math.min(seconds(began), length) * 1000 && seconds(began) < length; asked++) {
          if (yield* ask(unknownKey(known, `unknown-${asked}`))) letIn++
          if (asked % 10 === 0 && !(yield* ask(known))) refused++
          if (asked % 100 === 0 && rotated !== undefined && accepted === undefined && (yield* ask(fresh))) {
            accepted = seconds(began) - rotated
          }
        }
        if (rotated === undefined && seconds(began) > rotation) {
          okta.rotate()
          fresh = Redacted.value(okta.token())
          rotated = seconds(began)
        }
        yield* Effect.sleep("2 millis")
      }
      if (asked < length * 900) return yield* Effect.die(new Error(`only ${asked} were asked`))
      const what = `1 000 unknown key ids a second for ${Math.round(length)} seconds`
      return [
        { what: `${what}: keys fetched`, value: okta.requests.keys, atMost: Math.ceil(length / 10) + 1, unit: "times" },
        { what: `${what}: known tokens refused, unknown ones accepted`, value: refused + letIn, atMost: 0, unit: "" },
        { what: `${what}: until a new key counted`, value: accepted ?? Infinity, atMost: 10, unit: "s" }
      ]
    }),

  dead: () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const send = yield* serve(okta.layer(), serverUrl)
      const headers = { authorization: `Bearer ${Redacted.value(okta.token())}` }
      // Cold is what is known of Okta, not the code.
      yield* Effect.promise(() => send({ path: "/mcp" }))
      const began = performance.now()
      const answer = yield* Effect.promise(() => send({ path: "/mcp", headers }))
      const took = seconds(began)
      if (answer?.status !== 503) return yield* Effect.die(new Error(`answered ${answer?.status}`))
      return [{ what: "A cold request while Okta never answers: until its 503", value: took, atMost: 3.1, unit: "s" }]
    }),

  refusal: () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const context = yield* Layer.build(Layer.orDie(okta.layer()))
      const { verifyText } = Context.get(context, TokenVerifier)
      yield* Context.get(context, Jwks).ready.pipe(Effect.orDie)
      const times = 1000
      const tokens = {
        "A token of 1 MB": Redacted.value(okta.token({ claims: { pad: "x".repeat(1 << 20) } })),
        "A token of a million dots": ".".repeat(1_000_000)
      }
      const measured: Array<Figure> = []
      for (const [what, token] of Object.entries(tokens)) {
        const refuse = Effect.flip(verifyText(token))
        yield* Effect.replicateEffect(refuse, times, { discard: true }).pipe(Effect.orDie)
        const began = performance.now()
        yield* Effect.replicateEffect(refuse, times, { discard: true }).pipe(Effect.orDie)
        const value = seconds(began) * 1000 / times
        measured.push({ what: `${what}: until it is refused`, value, atMost: 1, unit: "ms" })
      }
      return measured
    }),

  keys: flooded("A key set of 200 MB", "flood", "keys"),
  metadata: flooded("A metadata document without an end", "endless", "metadata"),

  tokens: (part) =>
    Effect.gen(function*() {
      const okta = yield* make()
      const token = quickSigner(okta)
      const context = yield* Layer.build(Layer.orDie(okta.layer(both)))
      const { verifyText } = Context.get(context, TokenVerifier)
      yield* Context.get(context, Jwks).ready.pipe(Effect.orDie)
      yield* Effect.orDie(verifyText(token(-1)))
      const memory = Memory.watch()
      const count = Math.round(1_000_000 * part)
      for (let first = 0; first < count; first += 1000) {
        const tokens = Array.from({ length: 1000 }, (_, index) => token(first + index))
        yield* Effect.orDie(Effect.forEach(tokens, verifyText, { concurrency: 32, discard: true }))
        if (first % 20_000 === 0) memory.sample()
      }
      memory.sample()
      return [
        { what: `${count} distinct tokens, all good: memory`, value: memory.growth(), atMost: megabytes, unit: "MB" }
      ]
    }),

  flows: (part) =>
    Effect.gen(function*() {
      const okta = yield* make()
      const proxy = okta.layer({
        mode: "proxy",
        audience: undefined,
        serverUrl,
        clientId: "0oa1client",
        clientSecret: Redacted.make("the client's secret at Okta"),
        encryptionSecret: Redacted.make("s".repeat(32)),
        signingKeys: ring({ ...ec(), kid: "one" }),
        clients: [{ clientId: "known", redirectUris: ["https://client.example.com/callback"] }],
        requestsPerMinute: 1_000_000,
        trustedProxies: 1
      })
      const send = yield* serve(proxy, serverUrl)
      const query = new URLSearchParams({
        response_type: "code",
        client_id: "known",
        redirect_uri: "https://client.example.com/callback",
        state: "state",
        code_challenge: "c".repeat(43),
        code_challenge_method: "S256"
      })
      const begin = async (nth: number) => {
        const from = `10.${nth >> 16 & 255}.${nth >> 8 & 255}.${nth & 255}`
        return send({ path: `/oauth/authorize?${query}`, headers: { "x-forwarded-for": from } })
      }
      yield* Effect.promise(() => send({ path: "/oauth/authorize" }))
      yield* Effect.repeat(Effect.promise(() => send({ path: "/readyz" })), { until: (ready) => ready?.status === 200 })
      const memory = Memory.watch()
      const count = Math.round(1_000_000 * part)
      let [begun, others] = [0, 0]
      for (let first = 0; first < count; first += 100) {
        const answers = yield* Effect.promise(() =>
          Promise.all(Array.from({ length: 100 }, (_, index) => begin(first + index)))
        )
        for (const answer of answers) {
          if (answer?.status === 302 && answer.headers.get("location")?.startsWith(okta.issuer) === true) begun++
          else if (answer?.status !== 429 || !(Number(answer.headers.get("retry-after")) > 0)) others++
        }
        if (first % 5000 === 0) memory.sample()
      }
      memory.sample()
      const what = `${count} sign-ins that nobody finishes`
      return [
        { what: `${what}: memory`, value: memory.growth(), atMost: megabytes, unit: "MB" },
        // As many in any 10 minutes.
        { what: `${what}: begun`, value: begun, atMost: 10_000 * Math.ceil(process.uptime() / 600), unit: "" },
        { what: `${what}: told neither where to go nor when to come back`, value: others, atMost: 0, unit: "" }
      ]
    })
}
