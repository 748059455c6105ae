import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { generateKeyPairSync } from "node:crypto"
import type { OktaOptions } from "../../../src/config/OktaConfig.ts"
import { tls, trustTestAuthority } from "../../support/Certificates.ts"
import { type Document, type Fault, type FaultyOkta, make } from "../../support/FaultyOkta.ts"
import { assertFine, assertSays, doctor } from "./Patient.ts"

const environmentOf = ({ issuer }: FaultyOkta) => ({ OKTA_ISSUER: issuer, OKTA_AUDIENCE: "api://default" })

const look = (okta: FaultyOkta, options: Partial<OktaOptions> = {}) =>
  doctor({ client: okta.client, environment: environmentOf(okta), examination: { options } })

const noServer = JSON.stringify({ errorCode: "E0000007", errorSummary: "Not found: Resource not found: aus1" })
const page = {
  status: 200,
  headers: { "content-type": "text/html" },
  body: "<!doctype html><title>Sign in to the Wi-Fi</title>"
}

describe("effect-okta doctor, of Okta's metadata", () => {
  for (
    const [what, fault, ...sentences] of [
      [
        "an unknown server",
        { status: 404, body: noServer },
        "404 E0000007",
        "Okta has no authorization server of this id.",
        "Copy the Issuer URI from Security, API, Authorization Servers."
      ],
      [
        "a host that is not Okta's",
        { status: 404, body: "Not Found" },
        "There is nothing at this address, and the answer is not Okta's.",
        "Look for a slip in the host of OKTA_ISSUER"
      ],
      [
        "the rate limit, with Retry-After",
        { status: 429, headers: { "retry-after": "20" }, body: "{\"errorCode\":\"E0000047\"}" },
        "429 E0000047",
        "Okta's rate limit is used up.",
        "Try again in 20 seconds, at 00:00:20 UTC."
      ],
      [
        "the rate limit, with Okta's own header",
        { status: 429, headers: { "x-rate-limit-reset": "45" } },
        "Try again in 45 seconds, at 00:00:45 UTC."
      ],
      ["the rate limit without a word", { status: 429 }, "Wait a minute, then try again."],
      ["trouble of Okta's", { status: 503 }, "503", "Okta has trouble of its own"],
      [
        "a web page",
        page,
        "200, a web page",
        "Somebody else answers in Okta's place: a captive portal, a company proxy, or a host that is not Okta's."
      ],
      [
        "no JSON",
        { status: 200, body: "hello" },
        "200, something that is not JSON",
        "That is not an answer of Okta's."
      ],
      ["nothing at all", { status: 200, body: "" }, "200, something that is not JSON"],
      [
        "a redirect to another issuer",
        {
          status: 302,
          headers: { location: "https://id.acme.example/oauth2/default/.well-known/openid-configuration?canary=1" }
        },
        "302, a redirect to https://id.acme.example/oauth2/default/.well-known/openid-configuration",
        "Redirects are not followed",
        "set OKTA_ISSUER to https://id.acme.example/oauth2/default"
      ],
      [
        "a redirect to a sign-in",
        { status: 302, headers: { location: "https://sso.example/login" } },
        "a redirect to https://sso.example/login",
        "Set OKTA_ISSUER to the issuer that Okta shows"
      ],
      ["a gateway that turns everybody away", { status: 403 }, "This machine is turned away.", "Okta's network zones"],
      ["half of an answer", "cut", "The connection was cut before the answer was complete."],
      ["a connection that is reset", "reset", "The connection was cut before the answer was complete."],
      ["an answer without end", "flood", "answered with more than 64 KiB", "No answer came that could be used."]
    ] satisfies ReadonlyArray<readonly [what: string, fault: Fault, ...sentences: Array<string>]>
  ) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.break(fault)
        const checks = yield* look(okta)
        assertSays(checks, "discovery", "failed", ...sentences)
        assert.strictEqual(checks.filter(({ check }) => check === "discovery").length, 1)
        assertSays(checks, "keys", "skipped", "Okta's metadata is needed first")
        assert.notInclude(JSON.stringify(checks), "canary")
      }))
  }

  for (
    const [what, issuer, ...sentences] of [
      [
        "another issuer",
        () => "https://id.acme.example/oauth2/default",
        "set OKTA_ISSUER to https://id.acme.example/oauth2/default"
      ],
      [
        "an issuer with a slash",
        (own) => `${own}/`,
        "they differ only in the slash at the end",
        "compared byte for byte"
      ],
      ["an issuer in capitals", (own) => own.toUpperCase(), "they differ only in upper and lower case"]
    ] satisfies ReadonlyArray<readonly [what: string, issuer: (own: string) => string, ...sentences: Array<string>]>
  ) {
    it.effect(`${what} in the document`, () =>
      Effect.gen(function*() {
        const okta = yield* make()
        okta.metadata = { ...okta.metadata, issuer: issuer(okta.issuer) }
        assertSays(yield* look(okta), "discovery", "failed", "names the issuer", ...sentences)
      }))
  }

  it.effect("an endpoint on another origin", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.metadata = { ...okta.metadata, jwks_uri: "https://keys.example/v1/keys" }
      assertSays(
        yield* look(okta),
        "discovery",
        "failed",
        "on another origin than the issuer",
        "A document that is not in order is not used, since it could send people elsewhere."
      )
    }))

  it.effect("one of the two places will do", () =>
    Effect.gen(function*() {
      for (const missing of ["metadata", "oauth"] satisfies ReadonlyArray<Document>) {
        const okta = yield* make()
        okta.break({ status: 404, body: noServer }, [missing])
        const checks = yield* look(okta)
        assertFine(checks)
        assertSays(checks, "discovery", "skipped", "It is not there, and the other one will do.")
        assertSays(checks, "discovery", "ok", "metadata, of this issuer")
      }
    }))

  it.effect("the two places say different things", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 200, body: JSON.stringify({ ...okta.metadata, issuer: "https://old.example" }) }, ["oauth"])
      assertSays(yield* look(okta), "discovery", "warning", "names the issuer \"https://old.example\"")
    }))

  it.effect("nobody listens", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      yield* okta.leave
      assertSays(
        yield* look(okta),
        "discovery",
        "failed",
        "ECONNREFUSED",
        `Nobody listens at ${new URL(okta.issuer).host}.`,
        "firewalls"
      )
      yield* okta.comeBack
    }))

  it.effect("no answer comes in time", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break("silent")
      const { elapsed, value } = yield* okta.timed(look(okta))
      assertSays(
        value,
        "discovery",
        "failed",
        "gave no complete answer within 3s",
        "--timeout lets this command wait longer."
      )
      assert.strictEqual(elapsed, 3000)
    }))

  // Names are not looked up outside of this machine: the lookup answers as the system's own does.
  for (
    const [code, place, ...sentences] of [
      ["ENOTFOUND", "acme.okta.com", "DNS knows no host acme.okta.com.", "Look for a slip in OKTA_ISSUER"],
      ["EAI_AGAIN", "acme.okta.com", "DNS does not answer.", "its DNS server"],
      [
        "ENOTFOUND",
        "proxy.acme.com",
        "The proxy of the environment is not there, at proxy.acme.com.",
        "Look for a slip in HTTPS_PROXY"
      ]
    ] as const
  ) {
    it.effect(`DNS: ${code} of ${place}`, () =>
      Effect.gen(function*() {
        const client = NodeHttpClient.layerUndiciOptions({
          connect: {
            lookup: (_host, _, callback) =>
              callback(
                Object.assign(new Error(`getaddrinfo ${code} ${place}`), { code, syscall: "getaddrinfo" }),
                "",
                4
              )
          }
        })
        const checks = yield* doctor({
          client,
          environment: { OKTA_ISSUER: "https://acme.okta.com/oauth2/default", OKTA_AUDIENCE: "api://default" }
        })
        assertSays(checks, "discovery", "failed", code, ...sentences)
      }))
  }
})

describe("effect-okta doctor, of certificates", () => {
  for (
    const [certificate, ...sentences] of [
      ["expired", "Its certificate has expired.", "Look at this machine's clock"],
      [
        "wrong-host",
        "Its certificate is for another host than 127.0.0.1:",
        "something on the way answers in Okta's place"
      ],
      ["self-signed", "Its certificate is signed by itself, which proves nothing.", "NODE_EXTRA_CA_CERTS"]
    ] as const
  ) {
    it.effect(certificate, () =>
      Effect.gen(function*() {
        yield* trustTestAuthority
        const okta = yield* make({ tls: tls(certificate) })
        assertSays(yield* look(okta), "discovery", "failed", ...sentences)
      }))
  }

  it.effect("of an authority that nobody knows", () =>
    Effect.gen(function*() {
      const okta = yield* make({ tls: tls("good") })
      assertSays(
        yield* look(okta),
        "discovery",
        "failed",
        "Its certificate is signed by an authority that this machine does not know.",
        "If a company proxy is on the way, name its authority's certificate in NODE_EXTRA_CA_CERTS"
      )
    }))

  it.effect("one in order", () =>
    Effect.gen(function*() {
      yield* trustTestAuthority
      const okta = yield* make({ tls: tls("good") })
      assertFine(yield* look(okta))
    }))

  it.effect("none at all, where TLS is expected", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const checks = yield* doctor({
        client: okta.client,
        environment: { ...environmentOf(okta), OKTA_ISSUER: okta.issuer.replace("http:", "https:") }
      })
      assertSays(checks, "discovery", "failed", "does not speak TLS.", "http: in place of https:")
    }))
})

const jwkOf = (pair: ReturnType<typeof generateKeyPairSync>, more: object) => ({
  ...pair.publicKey.export({ format: "jwk" }),
  use: "sig",
  ...more
})

describe("effect-okta doctor, of keys and clocks", () => {
  const ec = jwkOf(generateKeyPairSync("ec", { namedCurve: "P-256" }), { kid: "ec", alg: "ES256" })
  const weak = jwkOf(generateKeyPairSync("rsa", { modulusLength: 1024 }), { kid: "weak", alg: "RS256" })

  it.effect("no usable key", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.published = [weak]
      assertSays(
        yield* look(okta),
        "keys",
        "failed",
        "holds no usable key (key 1 has only 1024 bits)",
        "Without a key no token can be verified"
      )
    }))

  it.effect("a key that is not used", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.published = [...okta.published, weak]
      assertSays(yield* look(okta), "keys", "warning", "1 usable key (RS256); not used: key 2 has only 1024 bits")
    }))

  it.effect("keys for algorithms that are not accepted", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.published = [ec]
      assertSays(
        yield* look(okta),
        "algorithms",
        "failed",
        "accepting RS256: Okta signs with ES256",
        "every token will be refused",
        "algorithms: [\"ES256\"]"
      )
      assertFine(yield* look(okta, { algorithms: "ES256" }))
    }))

  it.effect("keys that cannot be had", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 500 }, ["keys"])
      assertSays(yield* look(okta), "keys", "failed", "500", "Okta has trouble of its own")
    }))

  for (
    const [skew, outcome, ...sentences] of [
      [0, "ok", "the same time"],
      [10, "ok", "Okta's clock is 10 seconds ahead of this machine's", "within clockTolerance, 30 seconds"],
      [-25, "warning", "Okta's clock is 25 seconds behind this machine's", "soon that is too much"],
      [60, "failed", "60 seconds ahead of", "fresh tokens are refused as not yet valid", "timedatectl set-ntp true"],
      [-3600, "failed", "3600 seconds behind", "tokens are refused as expired before their time"]
    ] as const
  ) {
    it.effect(`clocks ${skew} seconds apart`, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_800_000_000_000)
        const okta = yield* make()
        okta.skew = skew * 1000
        assertSays(yield* look(okta), "clock", outcome, ...sentences)
      }))
  }

  it.effect("a tolerance of one's own", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(1_800_000_000_000)
      const okta = yield* make()
      okta.skew = 60_000
      assertSays(
        yield* look(okta, { clockTolerance: "5 minutes" }),
        "clock",
        "ok",
        "within clockTolerance, 300 seconds"
      )
    }))

  it.effect("no date", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      okta.break({ status: 200, headers: { date: "today" }, body: JSON.stringify(okta.metadata) }, ["metadata"])
      assertSays(yield* look(okta), "clock", "skipped", "nobody can tell whether the clocks agree")
    }))
})

describe("effect-okta doctor, of the scopes that are demanded in native mode", () => {
  it.live("are told apart by what Okta names", () =>
    Effect.gen(function*() {
      const okta = yield* make()
      const demanded = { requiredScopes: ["files:read", "files:write"] }
      assertSays(yield* look(okta, demanded), "scopes", "ok", "REQUIRED_SCOPES files:read files:write: Okta names none")
      okta.metadata = { ...okta.metadata, scopes_supported: ["openid", "files:read"] }
      assertSays(
        yield* look(okta, demanded),
        "scopes",
        "warning",
        "Okta does not name files:write",
        "leave them out of REQUIRED_SCOPES"
      )
      assertSays(yield* look(okta, { requiredScopes: "files:read" }), "scopes", "ok", "Okta names all of them")
      assert.notInclude((yield* look(okta)).map(({ check }) => check), "scopes")
    }))
})
