import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { HttpClient } from "effect/http"
import * as fc from "fast-check"
import { TokenExchange } from "../../src/behalf/TokenExchange.ts"
import { OktaConfig } from "../../src/config/OktaConfig.ts"
import { Discovery } from "../../src/provider/Discovery.ts"
import { OktaHttp } from "../../src/provider/OktaHttp.ts"
import { UpstreamTokens } from "../../src/proxy/UpstreamTokens.ts"
import * as IntrospectingVerifier from "../../src/token/IntrospectingVerifier.ts"
import { CurrentPrincipal, type User } from "../../src/token/Principal.ts"
import * as SubjectToken from "../../src/token/SubjectToken.ts"
import { audience, issuer, makeKey, now, verifierLayer, verify } from "../token/TestIssuer.ts"
import { type Answer, json, lying, metadata, noDocument, odd, outcome } from "./LyingOkta.ts"
import { generated, timeout } from "./plan.ts"

const es256 = makeKey("ES256")
const token = es256.token()

const credentials = { clientId: "0oa2asks", clientSecret: Redacted.make("the application's secret") }

const documents = {
  metadata: json({ ...metadata, introspection_endpoint: `${issuer}/v1/introspect` }),
  keys: json({ keys: [es256.published] })
}

/** Errors of OAuth's and others, by any status. */
const errors: fc.Arbitrary<Answer> = fc.record({
  status: fc.constantFrom(200, 400, 401, 403, 429, 500, 503),
  body: fc.oneof(
    fc.constantFrom(
      "invalid_grant",
      "invalid_token",
      "invalid_client",
      "temporarily_unavailable",
      "slow_down",
      "a\nb",
      ""
    )
      .map((error) => JSON.stringify({ error })),
    odd.map((error) => JSON.stringify({ error })),
    fc.constant(JSON.stringify({ errorCode: "E0000011", errorSummary: "Invalid token provided" }))
  )
})

/** What Okta says of a token that is good. */
const active = {
  active: true,
  token_type: "Bearer",
  scope: "files:read",
  client_id: "0oa1client",
  username: "ada@example.com",
  sub: "ada@example.com",
  iss: issuer,
  aud: audience,
  iat: now,
  exp: now + 3600,
  jti: "AT.1"
}

const isText = (value: unknown) => typeof value === "string"
const isTime = (value: unknown) => typeof value === "number" && Number.isSafeInteger(value)

/** A member, and a value with which no token may be taken for good. */
const badMember = fc.oneof(
  odd.filter((value) => value !== true).map((active) => ({ active })),
  odd.filter((value) => value !== issuer).map((iss) => ({ iss })),
  odd.filter((value) => value !== audience && !(Array.isArray(value) && value.includes(audience))).map((aud) => ({
    aud
  })),
  odd.filter((value) => !isText(value) || value === "").map((sub) => ({ sub })),
  odd.filter((value) => !isTime(value)).map((exp) => ({ exp })),
  fc.integer({ max: now - 30 }).map((exp) => ({ exp })),
  odd.filter((value) => !isTime(value)).map((iat) => ({ iat })),
  fc.integer({ min: now + 31, max: now + 3000 }).map((iat) => ({ iat })),
  fc.integer({ min: now + 31, max: now + 3000 }).map((nbf) => ({ nbf })),
  odd.filter((value) => !isText(value)).map((scope) => ({ scope })),
  odd.filter((value) => !isText(value)).map((token_type) => ({ token_type })),
  odd.filter((value) => !isText(value)).map((client_id) => ({ client_id }))
)

const saying = fc.tuple(badMember, badMember).map(([one, other]) => json({ ...active, ...one, ...other }))

/** What has to be there where Okta alone is asked; elsewhere the token says it. */
const lacking = fc.constantFrom("active", "token_type", "scope", "sub", "aud", "iat", "exp").map((member) =>
  json({ ...active, [member]: undefined })
)

const isAboutActive = ({ body, status }: Answer) =>
  status === 200 && typeof body === "string" && body.includes("\"active\"")

const introspected = (mode: "recheck" | "only", answer: Answer) => {
  const { client } = lying({ ...documents, token: answer })
  const settings = { algorithms: ["ES256" as const] }
  const okta = Discovery.layer.pipe(
    Layer.provideMerge(OktaHttp.layer),
    Layer.provideMerge(OktaConfig.layer({ issuer, audience, ...settings })),
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )
  return outcome(
    verify(token).pipe(
      Effect.provide(
        IntrospectingVerifier.layer({ mode, ...credentials }, {}).pipe(
          Layer.provide(verifierLayer({ keys: [] }, { client, settings })),
          Layer.provide(okta)
        )
      ),
      Effect.catchTag("InvalidConfiguration", Effect.die)
    )
  )
}

const exchanged = (answer: Answer) => {
  const person: User = {
    _tag: "User",
    subject: "ada@example.com",
    username: "ada@example.com",
    groups: [],
    scopes: [],
    amr: []
  }
  return outcome(
    TokenExchange.pipe(
      Effect.flatMap(({ get }) => get({ audience: "api://billing", scopes: "invoices:read" })),
      Effect.provideService(CurrentPrincipal, SubjectToken.remember(person, token)),
      Effect.provide(
        TokenExchange.layer(credentials).pipe(
          Layer.provide([Discovery.layer, UpstreamTokens.none]),
          Layer.provide(OktaHttp.layer),
          Layer.provide(OktaConfig.layer({ issuer, audience })),
          Layer.provide(Layer.succeed(HttpClient.HttpClient, lying({ ...documents, token: answer }).client))
        )
      ),
      Effect.catchTag("InvalidConfiguration", Effect.die)
    )
  )
}

describe("a lying Okta", () => {
  it.effect("about tokens: nothing is accepted, and only what it calls inactive is", () =>
    Effect.gen(function*() {
      for (const one of ["recheck", "only"] as const) {
        assert.strictEqual(yield* Effect.promise(() => introspected(one, json(active))), "accepted", one)
      }
      const bad = fc.oneof(
        { weight: 3, arbitrary: saying },
        { weight: 1, arbitrary: fc.oneof(noDocument, errors).filter((answer) => !isAboutActive(answer)) }
      )
      const asked = fc.oneof(
        fc.tuple(fc.constant("recheck" as const), bad),
        fc.tuple(
          fc.constant("only" as const),
          fc.oneof({ weight: 9, arbitrary: bad }, { weight: 1, arbitrary: lacking })
        )
      )
      yield* generated("introspection answers of a lying Okta", asked, async ([mode, answer]) => {
        const ended = await introspected(mode, answer)
        const isActive = isAboutActive(answer) ? JSON.parse(String(answer.body)).active : undefined
        if (isActive === false) assert.strictEqual(ended, "TokenInactive")
        else if (isActive !== true) assert.strictEqual(ended, "IntrospectionUnavailable")
        else {
          assert.include([
            "IntrospectionUnavailable",
            "InvalidAudience",
            "InvalidClaim",
            "InvalidIssuer",
            "TokenExpired",
            "TokenNotYetValid",
            "WrongTokenType"
          ], ended)
        }
      })
    }), timeout)

  it.effect(
    "in exchange for a token: no token comes of it, and a refusal only where Okta refuses",
    () =>
      Effect.gen(function*() {
        const good = { access_token: es256.token({ jti: "AT.2" }), token_type: "Bearer", expires_in: 3600 }
        assert.strictEqual(yield* Effect.promise(() => exchanged(json(good))), "accepted")
        const badMember = fc.oneof(
          odd.filter((value) => !isText(value) || value === "").map((access_token) => ({ access_token })),
          fc.constantFrom({ access_token: token }),
          odd.filter((value) => !isText(value) || !/^bearer$/i.test(String(value))).map((token_type) => ({
            token_type
          })),
          odd.filter((value) => typeof value !== "number" || value <= 0).map((expires_in) => ({ expires_in })),
          odd.filter((value) => value !== undefined && value !== "urn:ietf:params:oauth:token-type:access_token")
            .map((issued_token_type) => ({ issued_token_type })),
          odd.filter((value) => value !== undefined && !isText(value)).map((scope) => ({ scope }))
        )
        const bad = fc.oneof(
          { weight: 2, arbitrary: badMember.map((member) => json({ ...good, ...member })) },
          { weight: 1, arbitrary: fc.oneof(noDocument, errors) }
        )
        yield* generated("exchange answers of a lying Okta", bad, async (answer) => {
          const ended = await exchanged(answer)
          const { body, status } = answer
          const mayRefuse = status >= 400 && status < 500 && status !== 429
          assert.include(mayRefuse ? ["ExchangeRefused", "OktaUnavailable"] : ["OktaUnavailable"], ended)
          if (ended !== "ExchangeRefused") return
          const { error } = JSON.parse(Buffer.from(body).toString("utf8"))
          assert.match(error, /^[!-~]+$/)
          assert.notInclude(["temporarily_unavailable", "slow_down", "server_error"], error)
        })
      }),
    timeout
  )
})
